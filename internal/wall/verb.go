package wall

// String is the verb's name.
func (k Kind) String() string {
	return map[Kind]string{Call: "call", Stop: "stop", Explain: "explain", Actions: "actions", Rights: "rights",
		Reload: "reload", Drain: "drain", Upgrade: "upgrade", Ping: "ping", Signed: "signed", Hello: "hello", Follow: "follow"}[k]
}
