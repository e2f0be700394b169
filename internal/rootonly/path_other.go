//go:build !darwin

package rootonly

func plain(path string) string { return path }
