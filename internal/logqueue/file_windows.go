package logqueue

import "os"

// SurvivePipes is for systems that signal a broken pipe.
func SurvivePipes() {}

func writerOf(f *os.File) func([]byte) (int, error) { return f.Write }
