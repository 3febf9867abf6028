package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const (
	noAssertion = "NOASSERTION"
	homepage    = "https://github.com/nfo-operator/nfo"
	ownLicense  = "Apache-2.0"
)

// shipment is one file of the release, with the programs that it contains.
type shipment struct {
	file     string
	programs []string
}

// invalidInSPDXID matches characters that are not allowed in an SPDX identifier.
var invalidInSPDXID = regexp.MustCompile(`[^0-9A-Za-z.-]+`)

// writeSBOM writes the list of the modules in the programs of the shipped files.
func writeSBOM(o options, shipped []shipment) error {
	b := bill{version: o.version, modules: map[debug.Module]common.ElementID{}}
	for _, s := range shipped {
		if err := b.add(o, s); err != nil {
			return err
		}
	}
	b.addModules()
	hash := sha256.New()
	for _, p := range b.packages {
		for _, sum := range p.PackageChecksums {
			fmt.Fprintln(hash, sum.Value)
		}
	}
	name := "nfo-" + strings.TrimPrefix(o.version, "v")
	document := v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: name,
		DocumentNamespace: homepage + "/spdx/" + name + "-" + hex.EncodeToString(hash.Sum(nil)[:8]),
		CreationInfo: &v2_3.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "nfo-tools-dist"}},
			Created:  o.created.Format(time.RFC3339),
		},
		Packages: b.packages, Relationships: b.relationships,
	}
	var text bytes.Buffer
	if err := json.Write(document, &text, json.Indent(" "), json.EscapeHTML(false)); err != nil {
		return fmt.Errorf("writing the SBOM: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.out, name+".spdx.json"), text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the SBOM: %w", err)
	}
	return nil
}

// bill collects the packages of an SPDX document.
type bill struct {
	version       string
	packages      []*v2_3.Package
	relationships []*v2_3.Relationship
	// modules are the modules of all programs; a replaced module is listed as its replacement.
	modules map[debug.Module]common.ElementID
}

// add adds one shipped file, and the modules in its programs.
func (b *bill) add(o options, s shipment) error {
	sum, err := checksum(filepath.Join(o.out, s.file))
	if err != nil {
		return err
	}
	id := common.ElementID("File-" + invalidInSPDXID.ReplaceAllString(s.file, "-"))
	b.packages = append(b.packages, &v2_3.Package{
		PackageName: s.file, PackageSPDXIdentifier: id, PackageVersion: b.version, PackageFileName: s.file,
		PackageDownloadLocation: o.downloads + "/" + s.file, PackageHomePage: homepage,
		PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: ownLicense, PackageCopyrightText: noAssertion,
		PackageChecksums: []common.Checksum{{Algorithm: common.SHA256, Value: sum}},
	})
	b.relate("DOCUMENT", common.TypeRelationshipDescribe, id)
	in := map[debug.Module]bool{}
	for _, program := range s.programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return fmt.Errorf("reading what %s is built of: %w", program, err)
		}
		in[debug.Module{Path: "stdlib", Version: strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go")}] = true
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			in[debug.Module{Path: m.Path, Version: m.Version}] = true
		}
	}
	for _, m := range sorted(in) {
		b.modules[m] = moduleID(m)
		b.relate(id, common.TypeRelationshipContains, b.modules[m])
	}
	return nil
}

// addModules adds the packages for the modules of all shipped files.
func (b *bill) addModules() {
	for _, m := range sorted(b.modules) {
		b.packages = append(b.packages, &v2_3.Package{
			PackageName: m.Path, PackageSPDXIdentifier: b.modules[m], PackageVersion: m.Version,
			PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
			PackageExternalReferences: []*v2_3.PackageExternalReference{{
				Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: "pkg:golang/" + strings.ToLower(m.Path) + "@" + strings.ReplaceAll(m.Version, "+", "%2B"),
			}},
		})
	}
}

func (b *bill) relate(from common.ElementID, how string, to common.ElementID) {
	b.relationships = append(b.relationships, &v2_3.Relationship{
		RefA: common.MakeDocElementID("", string(from)), Relationship: how, RefB: common.MakeDocElementID("", string(to)),
	})
}

// moduleID returns the SPDX identifier of a module. It ends in a hash,
// because it cannot contain all characters of the path and version.
func moduleID(m debug.Module) common.ElementID {
	name := m.Path + "@" + m.Version
	hash := sha256.Sum256([]byte(name))
	return common.ElementID("Module-" + invalidInSPDXID.ReplaceAllString(name, "-") + "-" + hex.EncodeToString(hash[:4]))
}

// sorted returns the modules of a set, sorted by path and version.
func sorted[V any](set map[debug.Module]V) []debug.Module {
	all := make([]debug.Module, 0, len(set))
	for m := range set {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b debug.Module) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Version, b.Version))
	})
	return all
}
