// Command quickstart prints the `sh` blocks of a document as one script. The script ends at the first command that
// does not behave as the document says: a command with the comment "# refused" must fail, and all others must succeed.
//
//	go run ./test/quickstart docs/quickstart.md | bash
//
// Decision: the document itself is run, so that it is always correct. Rejected: a copy of its
// commands. The copy and the document could differ. --without=kind,make leaves out commands that begin
// with one of these words, for an existing cluster. --section prints only the blocks of one section.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// forwarded matches a port-forward, and finds its local port.
var forwarded = regexp.MustCompile(`port-forward .* ([0-9]+):[0-9]+ &$`)

func main() {
	without := flag.String("without", "", "leave out commands that begin with one of these words, separated by commas")
	heading := flag.String("section", "", "print only the blocks below this heading of the second level")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: quickstart [--without WORD,...] [--section HEADING] DOCUMENT")
		os.Exit(2)
	}
	text, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	document := section(string(text), *heading)
	if document == "" {
		fmt.Fprintf(os.Stderr, "Error: %s has no section %q\n", flag.Arg(0), *heading)
		os.Exit(1)
	}
	fmt.Print(script(document, strings.Split(*without, ",")))
}

// section returns the part of a document below a heading of the second level, or the whole document if heading is "".
func section(document, heading string) string {
	if heading == "" {
		return document
	}
	_, rest, _ := strings.Cut(document, "\n## "+heading+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

// script returns the script for a shell.
func script(document string, without []string) string {
	var out strings.Builder
	out.WriteString("set -euo pipefail\ntrap 'jobs -p | xargs -r kill' EXIT\n")
	inside := false
	for line := range strings.Lines(document) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case !inside, line == "", leftOut(line, without):
		case strings.HasSuffix(line, "# refused"):
			fmt.Fprintf(&out, "echo %s\nif %s\nthen echo 'That was not refused.' >&2; exit 1; fi\n", quote("$ "+line), line)
		case forwarded.MatchString(line): // a script is faster than the port is ready
			fmt.Fprintf(&out, "echo %s\n%s\n", quote("$ "+line), line)
			fmt.Fprintf(&out, "for _ in {1..100}; do (: </dev/tcp/127.0.0.1/%s) 2>/dev/null && break; sleep 0.2; done\n", forwarded.FindStringSubmatch(line)[1])
		default:
			fmt.Fprintf(&out, "echo %s\n%s\n", quote("$ "+line), line)
		}
	}
	return out.String()
}

func leftOut(line string, without []string) bool {
	for _, word := range without {
		if word != "" && strings.HasPrefix(line, word+" ") {
			return true
		}
	}
	return false
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
