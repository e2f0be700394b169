package manifest

import (
	"path/filepath"
	"strings"
)

// role says what an argument is to a program.
type role string

const (
	isData    role = ""        // nothing that is run
	isCode    role = "code"    // a file or folder that is run, beside the program itself
	isScript  role = "script"  // a file with the program that is interpreted
	isProgram role = "program" // a program that is executed, with all that follows
	isText    role = "text"    // the text of the program that is interpreted
	isTexts   role = "texts"   // as isText, and so is every argument behind it
	isLibrary role = "library" // code where it has a slash, otherwise looked for in the folder
	isModule  role = "module"  // the name of one that is looked for in the folder; ends the options
	isPaths   role = "paths"   // code, several between colons
	isFolder  role = "folder"  // the folder in which it works
	isWord    role = "word"    // harmless as it is written, not with a value in it
	isSplit   role = "split"   // several arguments in one
	isApplet  role = "applet"  // the name of a program that it contains, as busybox does
	isFound   role = "found"   // where find begins; what it executes stands in an expression
	isGoal    role = "goal"    // what make is to make: a value may set a variable, and so run
	isReplace role = "replace" // what xargs replaces by what it reads
	isUser    role = "user"    // as whom what follows is executed, without a shell

	takesNext  role = "next"     // an option with an argument that is data
	takesLater role = "later"    // as takesNext; the data always stands in an argument of its own
	mayBeThere role = "attached" // an option whose data, if there is any, stands in the same argument
	mayReplace role = "replaced" // as mayBeThere; what stands there is to xargs what isReplace is
	firstText  role = "first"    // an option behind which the first operand is an isText
	readsStdin role = "stdin"    // an option with which the program is read from stdin
)

// interpreter is a program that runs what its arguments name, or another program.
type interpreter struct {
	names   string // words; a version may follow each
	options string // NAME:KIND of those that take an argument
	flags   string // letters of those that take none, and whole words
	operand role   // of the first argument that is no option, behind skip others
	skip    int
	stdin   bool   // without an operand it runs what it reads
	permute bool   // options may follow operands
	dash    bool   // "-" alone ends the options
	login   bool   // unless a user is named by an option, the first operand is one, and then a shell is
	assigns bool   // NAME=value before the operand is not the operand
	ends    bool   // an option that gives the program is the last option
	folder  bool   // a program given as text finds its modules where it was started
	looks   string // names that it reads in its folder where it is told none
}

// interpreters is the one list of them. A program that is not in it is held to be
// none: then of its arguments those count that are regular files.
var interpreters = []interpreter{
	{
		names: "sh bash dash ash ksh ksh93 lksh mksh oksh pdksh posh rbash rksh rzsh yash zsh", operand: isCode, stdin: true, dash: true,
		options: "-c:first -s:stdin -o:later +o:later -O:later +O:later --rcfile:code --init-file:code --emulate:next",
		flags: "abdefghijklmnpqrtuvwxyABCDEFGHIJKLMNPQRSTUVWXYZ --login --noprofile --norc --posix --restricted --verbose --debugger --noediting " +
			"--dump-strings --dump-po-strings --pretty-print --help --version --protected",
	},
	{names: "csh tcsh", operand: isCode, stdin: true, dash: true, options: "-c:text", flags: "bdefFilmnqstvVxX", ends: true},
	{
		names: "fish", operand: isCode, stdin: true, flags: "ilnNPhvp --interactive --login --no-execute --no-config --private --help --version",
		options: "-c:text --command:text -C:text --init-command:text -d:next --debug:next -o:next --debug-output:next -f:next --features:next --profile:next",
	},
	{
		names: "python pypy pythonw", operand: isCode, stdin: true, ends: true, folder: true,
		options: "-c:text -m:module -W:next -X:next -Q:next --check-hash-based-pycs:next",
		flags:   "bBdEhiIOPqRsSuvVxt --help --version --help-all --help-env --help-xoptions",
	},
	{
		names: "perl", operand: isCode, stdin: true, flags: "acfgnpsStTuUvwWXh",
		options: "-e:text -E:text -I:code -M:word -m:word -i:attached -0:attached -l:attached -F:attached -C:attached -D:attached -x:attached -d:attached -V:attached",
	},
	{
		names: "ruby jruby", operand: isCode, stdin: true, flags: "aclnpsSUvwyh --version --verbose --debug --copyright --yjit --jit",
		options: "-e:text -I:paths -r:library --require:library -C:folder -X:folder -E:next --encoding:next --external-encoding:next " +
			"--internal-encoding:next --disable:next --enable:next -i:attached -0:attached -F:attached -K:attached -T:attached -W:attached -x:attached -d:attached",
	},
	{
		names: "php php-cgi php-cli phpdbg", operand: isCode, stdin: true, flags: "aeHhilmnqsvwC --interactive --info --version --no-php-ini --help --modules",
		options: "-r:text --run:text -B:text --process-begin:text -R:text --process-code:text -E:text --process-end:text -F:script --process-file:script " +
			"-f:script --file:script -c:code --php-ini:code -z:code --zend-extension:code -d:word --define:word -t:next --docroot:next -S:next --server:next -b:next -T:next",
	},
	{
		names: "node nodejs", operand: isCode, stdin: true, flags: "civh --check --interactive --version --help --test --watch --inspect --inspect-brk --no-warnings " +
			"--enable-source-maps --expose-gc --experimental-vm-modules --experimental-strip-types --use-strict --permission --no-deprecation --trace-warnings --trace-uncaught",
		options: "-e:text --eval:text -p:text --print:text -pe:text -r:library --require:library --import:library --loader:library " +
			"--experimental-loader:library -C:next --conditions:next --input-type:next --title:next --icu-data-dir:next --openssl-config:next",
	},
	{names: "lua luajit texlua", operand: isCode, stdin: true, flags: "ivEW", options: "-e:text -l:library -j:next -O:attached -b:next"},
	{
		names: "awk gawk mawk nawk original-awk bwk", operand: isText, flags: "bcCghIkLMnNoOPrsStVy --posix --traditional --re-interval --sandbox --version --help --bignum --csv",
		options: "-f:script --file:script -e:text --source:text -E:script --exec:script -i:code --include:code -l:library --load:library -v:next --assign:next " +
			"-F:next --field-separator:next -W:next -d:attached -D:attached -p:attached -o:attached",
	},
	{
		names: "sed gsed", operand: isText, permute: true, flags: "Ennrsuzb --quiet --silent --regexp-extended --separate --unbuffered --null-data --debug --posix --sandbox --follow-symlinks --binary",
		options: "-e:text --expression:text -f:script --file:script -i:attached -l:next --line-length:next",
	},
	{
		names: "make gmake bmake", operand: isGoal, permute: true, looks: "GNUmakefile makefile Makefile",
		flags: "bBdeikmnpqrRsStvw --always-make --debug --environment-overrides --ignore-errors --keep-going --just-print --dry-run --recon --question " +
			"--no-builtin-rules --no-builtin-variables --silent --quiet --stop --touch --trace --print-directory --no-print-directory --warn-undefined-variables",
		options: "-f:script --file:script --makefile:script -C:folder --directory:folder -I:code --include-dir:code -E:text --eval:text -o:next --old-file:next " +
			"--assume-old:next -W:next --what-if:next --new-file:next --assume-new:next -j:attached -l:attached -O:attached",
	},
	{names: "tclsh wish", operand: isCode, stdin: true, options: "-encoding:next"},
	{names: "expect", operand: isCode, stdin: true, flags: "dDinNvh", options: "-c:text -f:script -b:script"},
	{names: "Rscript littler", operand: isCode, options: "-e:text", flags: "--vanilla --verbose --no-save --no-environ --no-site-file --no-init-file --slave --quiet"},
	{names: "java", operand: isData, options: "-jar:script -cp:paths -classpath:paths --class-path:paths -p:paths --module-path:paths -m:next --module:next --add-modules:next"},

	// Programs that execute what follows.
	{
		names: "env", operand: isProgram, assigns: true, dash: true, flags: "i0v --ignore-environment --null --debug --list-signal-handling",
		options: "-u:next --unset:next -C:folder --chdir:folder -S:split --split-string:split -a:next --argv0:next",
	},
	{
		names: "timeout", operand: isProgram, skip: 1, options: "-k:next --kill-after:next -s:next --signal:next",
		flags: "vpf --preserve-status --foreground --verbose",
	},
	{names: "nice", operand: isProgram, options: "-n:next --adjustment:next", flags: "0123456789"},
	{names: "nohup", operand: isProgram},
	{names: "setsid", operand: isProgram, flags: "cfw --ctty --fork --wait"},
	{names: "stdbuf", operand: isProgram, options: "-i:next --input:next -o:next --output:next -e:next --error:next"},
	{names: "time", operand: isProgram, flags: "apvqlV --append --portability --verbose --quiet", options: "-f:next --format:next -o:next --output:next"},
	{
		names: "ionice", operand: isProgram, flags: "t --ignore",
		options: "-c:next --class:next -n:next --classdata:next -p:next --pid:next -P:next --pgid:next -u:next --uid:next",
	},
	{
		names: "chrt", operand: isProgram, skip: 1, options: "-T:next --sched-runtime:next -P:next --sched-period:next -D:next --sched-deadline:next",
		flags: "bdefiorRavm --batch --deadline --ext --fifo --idle --other --rr --reset-on-fork --all-tasks --verbose --max",
	},
	{names: "taskset", operand: isProgram, skip: 1, flags: "apc --all-tasks --pid --cpu-list"},
	{
		names: "flock", operand: isProgram, skip: 1, flags: "sxeunoFv --shared --exclusive --unlock --nonblock --nb --close --no-fork --verbose --fcntl",
		options: "-w:next --wait:next --timeout:next -E:next --conflict-exit-code:next",
	},
	{
		names: "setpriv", operand: isProgram, flags: "d --dump --nnp --no-new-privs --clear-groups --keep-groups --init-groups --reset-env --list-caps",
		options: "--ruid:next --euid:next --reuid:next --rgid:next --egid:next --regid:next --groups:next --ambient-caps:next --inh-caps:next " +
			"--bounding-set:next --securebits:next --pdeathsig:next --ptracer:next --selinux-label:next --apparmor-profile:next " +
			"--landlock-access:next --landlock-rule:next --seccomp-filter:next",
	},
	{names: "prlimit", operand: isProgram, options: "-p:next --pid:next -o:next --output:next", flags: "--noheadings --raw --verbose"},
	{names: "choom", operand: isProgram, options: "-n:next --adjust:next -p:next --pid:next"},
	{
		names: "xargs", operand: isProgram, flags: "0rtpxo --null --no-run-if-empty --verbose --interactive --exit --open-tty --show-limits",
		options: "-I:replace -a:next --arg-file:next -d:next --delimiter:next -E:next -L:next --max-lines:attached -n:next --max-args:next -P:next " +
			"--max-procs:next -s:next --max-chars:next --process-slot-var:next -i:replaced --replace:replaced -e:attached -l:attached",
	},
	{
		names: "sudo", operand: isProgram, assigns: true, flags: "ABbEeHiKklNnPSsVv --preserve-env --login --non-interactive --set-home --stdin --shell --background",
		options: "-u:next --user:next -g:next --group:next -h:next --host:next -p:next --prompt:next -C:next --close-from:next -r:next --role:next -t:next " +
			"--type:next -T:next --command-timeout:next -U:next --other-user:next -D:folder --chdir:folder",
	},
	{names: "doas", operand: isProgram, options: "-u:next -C:next -a:next", flags: "Lns"},
	{
		names: "runuser su", operand: isProgram, login: true, flags: "flmpPT --fast --login --preserve-environment --pty",
		options: "-c:text --command:text --session-command:text -u:user --user:user -g:next --group:next -G:next --supp-group:next -s:code --shell:code -w:next --whitelist-environment:next",
	},
	{names: "watch", operand: isTexts, options: "-n:next --interval:next -q:next --equexit:next -s:next --shotsdir:next", flags: "bcCdegprtwx --beep --color --differences --errexit --chgexit --precise --no-title --no-wrap --exec"},
	{names: "busybox toybox", operand: isApplet},
	{names: "find gfind", operand: isFound},
}

// interpreterOf finds a program in the list, by the name that it is given and by
// the one that this leads to: /bin/sh may be a link to dash, and a link "scan" to
// python3. A link to a program that is many goes by its own name.
func interpreterOf(given, resolved string) (string, *interpreter) {
	given, resolved = nameOf(given), nameOf(resolved)
	if i := byName(given); i != nil {
		return given, i
	}
	if i := byName(resolved); i != nil && i.operand != isApplet {
		return resolved, i
	}
	return given, nil
}

func nameOf(path string) string { return strings.TrimSuffix(filepath.Base(path), exe) }

// byName finds "python3.11", "lua5.4" and "php8.2-cgi", too.
func byName(name string) *interpreter {
	plain := strings.TrimRight(name, "0123456789.-")
	if at := strings.IndexAny(name, "0123456789"); at > 0 {
		if rest := strings.TrimLeft(name[at:], "0123456789."); strings.HasPrefix(rest, "-") {
			plain = strings.TrimRight(name[:at], "-.") + rest
		}
	}
	for i := range interpreters {
		for known := range strings.FieldsSeq(interpreters[i].names) {
			if known == name || known == plain || known == "python" && strings.HasPrefix(name, known) {
				return &interpreters[i]
			}
		}
	}
	return nil
}

// option finds what is known of one: "-c" or "--command".
func (p *interpreter) option(name string) (kind role, takes, known bool) {
	for option := range strings.FieldsSeq(p.options) {
		if at := strings.LastIndexByte(option, ':'); option[:at] == name {
			return role(option[at+1:]), true, true
		}
	}
	for flag := range strings.FieldsSeq(p.flags) {
		if flag == name || len(name) == 2 && !strings.HasPrefix(flag, "-") && strings.IndexByte(flag, name[1]) >= 0 {
			return isData, false, true
		}
	}
	return isData, false, false
}
