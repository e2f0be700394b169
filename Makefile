# make build    the programs, in bin/
# make demo     starts deputy here, as you, shows what it does, leaves nothing
# make test     all tests; as root also those that need root
# make check    the fast circle of who works on it: build, lint, and the tests that take seconds
# make test-windows  the programs as a Windows service, under Wine
# make faults   a random load under random kills: SEED=7 CYCLES=500 CLIENTS=4
# make bench    speed, beside what limits it
# make lint     gofmt, vet, staticcheck, golangci-lint
# make packages deb, rpm, apk, archives, checksums, into dist/: TARGETS="linux/amd64 …" for some
# make install  into DESTDIR and PREFIX (as root, for the installed service)

PREFIX  ?= /usr
DESTDIR ?=
VERSION ?= $(shell packaging/version)

export CGO_ENABLED = 0
export GOTOOLCHAIN = local
GOBUILD = go build -trimpath -ldflags "-s -w -X deputy.Version=$(VERSION)"

.PHONY: build built demo check test test-windows faults bench siege lint man packages install install-files clean

build:
	$(GOBUILD) -o bin/ ./cmd/deputyd ./cmd/deputy-server ./cmd/deputy
	$(GOBUILD) -o bin/deputy-portscan ./modules/portscan

demo: build
	@examples/demo.sh bin

test: build
	@test/run

# What boots machines, kills parts under load or runs for minutes is left to make test.
SLOW = deputy/(bench|clients|internal/(monitor|monitor/(journal|keeper|process|process/hosttest)|selftest)|test(/.*)?)$$
check: build lint
	go test $$(go list ./... | grep -vE '$(SLOW)')
	go test -skip ItCompiles ./test/house

test-windows:
	go test -count=1 -timeout 20m -v ./test/wine

SEED   ?= 1
CYCLES ?= 100
CLIENTS ?= 12
SWEEPS ?= 1
faults:
	FAULTS_SEED=$(SEED) FAULTS_CYCLES=$(CYCLES) FAULTS_CLIENTS=$(CLIENTS) FAULTS_SWEEPS=$(SWEEPS) FAULTS_MODE=$(MODE) go test -count=1 -timeout 0 -v ./test/faults

bench: build
	go run ./bench

siege:
	DEPUTY_SIEGE=$(or $(SPAN),60s) go test -count=1 -timeout 0 -v -run 'TestSiege$$' ./test

lint:
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "run: gofmt -w ."; exit 1; }
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...
	go tool -modfile=tools/go.mod golangci-lint run

man: build
	bin/deputy man docs/man
	go generate ./packaging/pages

packages:
	VERSION="$(VERSION)" packaging/build dist $(TARGETS)

# Under sudo there is often no Go in the PATH, and needs to be none: what make build
# has built is installed, unless a source is newer.
install: built install-files

built:
	@test -x $(BIN)/deputyd && test -z "$$(find . -name '*.go' -newer $(BIN)/deputyd -print -quit)" || $(MAKE) build

# What stands in the file system of an installation, from programs that are built.
BIN  ?= bin
HERE ?= $(BIN)/deputy
ZSH  ?= site-functions
SHARE = $(DESTDIR)$(PREFIX)/share
install-files:
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib/deputy/modules.d
	install -d $(SHARE)/deputy/modules $(SHARE)/man/man1 $(SHARE)/man/man5 $(SHARE)/man/man8
	install -m 0755 $(BIN)/deputy $(DESTDIR)$(PREFIX)/bin/
	install -m 0755 $(BIN)/deputyd $(BIN)/deputy-server $(DESTDIR)$(PREFIX)/sbin/
	install -m 0755 $(BIN)/deputy-portscan modules/scan/scan.py $(DESTDIR)$(PREFIX)/lib/deputy/
	sed -e 's|@PYTHON@|/usr/bin/python3|; s|@SCAN@|$(PREFIX)/lib/deputy/scan.py|; /^name  *=/a user        = "nobody"' modules/scan/scan.toml >$(SHARE)/deputy/modules/scan.toml
	sed -e 's|@PORTSCAN@|$(PREFIX)/lib/deputy/deputy-portscan|; /^name  *=/a user        = "nobody"' modules/portscan/portscan.toml >$(SHARE)/deputy/modules/portscan.toml
	chmod 0644 $(SHARE)/deputy/modules/*.toml
	install -d $(SHARE)/deputy/clients $(SHARE)/bash-completion/completions $(SHARE)/zsh/$(ZSH) $(SHARE)/fish/vendor_completions.d
	install -m 0644 clients/php/Deputy.php clients/python/deputy.py clients/node/deputy.cjs clients/c/deputy.h $(SHARE)/deputy/clients/
	install -m 0755 clients/shell/deputy.sh $(SHARE)/deputy/clients/
	$(HERE) completion bash >$(SHARE)/bash-completion/completions/deputy
	$(HERE) completion zsh >$(SHARE)/zsh/$(ZSH)/_deputy
	$(HERE) completion fish >$(SHARE)/fish/vendor_completions.d/deputy.fish
	chmod 0644 $(SHARE)/bash-completion/completions/deputy $(SHARE)/zsh/$(ZSH)/_deputy $(SHARE)/fish/vendor_completions.d/deputy.fish
	install -m 0644 docs/man/*.1 $(SHARE)/man/man1/
	install -m 0644 docs/man/*.5 $(SHARE)/man/man5/
	install -m 0644 docs/man/*.8 $(SHARE)/man/man8/
	install -d -m 0755 $(DESTDIR)/etc/deputy/modules.d $(DESTDIR)/etc/deputy/allow.d
	install -d -m 0700 $(DESTDIR)/etc/deputy/keys
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	for unit in deputy.service deputy.socket; do \
		sed -e 's|/usr/sbin/|$(PREFIX)/sbin/|; s|/usr/bin/|$(PREFIX)/bin/|' packaging/systemd/$$unit >$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit && \
		chmod 0644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; \
	done
	install -m 0644 packaging/systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/deputy.conf
	install -m 0644 packaging/systemd/tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/deputy.conf

clean:
	rm -rf bin dist
