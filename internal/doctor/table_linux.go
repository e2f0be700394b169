package doctor

// checks is all that is looked at, in this order.
func checks() []check {
	return []check{
		{"daemon", serving, daemon},
		{"policy", denied, policyFiles},
		{"keys", denied, keyFiles},
		{"programs", denied, programs},
		{"state", confined, stateFiles},
		{"journal", proven, journalChain},
		{"disk", durable, fileSystem},
		{"disk", output, holes},
		{"disk", recorded, room},
		{"cgroup", nothing, cgroupTree},
		{"cgroup", "limits on what a task may use (memory, processes, processor)", controllers},
		{"kernel", nothing, births},
		{"kernel", exact, exits},
		{"kernel", confined, confinement},
		{"systemd", exact + ", when the whole service is killed", unit},
		{"clock", signed, clock},
		{"limits", many, limits},
		{"access", "the progress that tasks tell of themselves", hiddenProcesses},
		{"access", "what actions may do", mandatoryAccess},
	}
}
