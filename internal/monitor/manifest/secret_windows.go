package manifest

// Secret says why a file is not secret: others than those who decide what runs
// could read it, or change it.
func Secret(path string) error {
	if err := Trusted(path); err != nil {
		return err
	}
	if err := (Trust{}).object(path, fileRights|readRights); err != nil {
		message, remedy := split(err)
		return advise(remedy, "%s can be read by others: %s", path, message)
	}
	return nil
}
