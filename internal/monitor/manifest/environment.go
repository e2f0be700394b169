package manifest

import "slices"

// DefaultPath is where a task's programs are looked for.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// decides says whether a variable decides what a program runs, of the common
// interpreters and of the dynamic linker.
func decides(name string) bool {
	return slices.Contains([]string{
		"PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV", "ENV", "ZDOTDIR", "SHELLOPTS", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP",
		"PERL5LIB", "PERLLIB", "PERL5OPT", "PERL5DB", "RUBYLIB", "RUBYOPT", "NODE_PATH", "NODE_OPTIONS", "LUA_PATH", "LUA_CPATH", "LUA_INIT",
		"PHPRC", "PHP_INI_SCAN_DIR", "AWKPATH", "AWKLIBPATH", "MAKEFILES", "MAKEFLAGS", "CLASSPATH", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "GCONV_PATH",
	}, name)
}
