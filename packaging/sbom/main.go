// Command sbom writes what deputy's programs are made of, as SPDX 2.3
// (https://spdx.github.io/spdx-spec/v2.3/), to its standard output:
//
//	sbom VERSION PROGRAM…
//
// It reads what the Go linker has left in the programs themselves, so that the
// list is of what is linked and not of what is mentioned. SOURCE_DATE_EPOCH is
// its time, so that the same build gives the same bytes.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom VERSION PROGRAM…")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

type document struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      creation       `json:"creationInfo"`
	Packages      []item         `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type item struct {
	ID        string     `json:"SPDXID"`
	Name      string     `json:"name"`
	Version   string     `json:"versionInfo"`
	Location  string     `json:"downloadLocation"`
	Analyzed  bool       `json:"filesAnalyzed"`
	License   string     `json:"licenseDeclared"`
	Checksums []checksum `json:"checksums,omitempty"`
	External  []external `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type external struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

func run(version string, programs []string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("cannot tell the time of the build: SOURCE_DATE_EPOCH is %q", os.Getenv("SOURCE_DATE_EPOCH"))
	}
	d := document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "deputy-" + version,
		Creation: creation{time.Unix(seconds, 0).UTC().Format(time.RFC3339), []string{"Tool: deputy packaging/sbom"}},
	}
	digest, modules := sha256.New(), map[string]item{}
	for _, path := range programs {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return fmt.Errorf("cannot read what %s is made of: %w", path, err)
		}
		sum := sha256.Sum256(text)
		digest.Write(sum[:])
		program := item{
			ID: "SPDXRef-Program-" + filepath.Base(path), Name: filepath.Base(path), Version: version,
			Location: "NOASSERTION", License: "Apache-2.0", Checksums: []checksum{{"SHA256", hex.EncodeToString(sum[:])}},
		}
		d.Packages = append(d.Packages, program)
		d.Relationships = append(d.Relationships, relationship{d.ID, "DESCRIBES", program.ID})
		std := module("std", info.GoVersion, "pkg:golang/std@"+strings.TrimPrefix(info.GoVersion, "go"))
		for _, dep := range append([]item{std}, dependencies(info)...) {
			modules[dep.ID] = dep
			d.Relationships = append(d.Relationships, relationship{program.ID, "DEPENDS_ON", dep.ID})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(modules)) {
		d.Packages = append(d.Packages, modules[id])
	}
	d.Namespace = "urn:deputy:sbom:" + hex.EncodeToString(digest.Sum(nil)[:16])
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(d)
}

func dependencies(info *buildinfo.BuildInfo) (list []item) {
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		list = append(list, module(m.Path, m.Version, "pkg:golang/"+m.Path+"@"+m.Version))
	}
	return list
}

func module(path, version, locator string) item {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, path+"-"+version)
	return item{
		ID: "SPDXRef-Module-" + id, Name: path, Version: version, Location: "NOASSERTION", License: "NOASSERTION",
		External: []external{{"PACKAGE-MANAGER", "purl", locator}},
	}
}
