// Command quickstart prints the `sh` blocks of a document as one script that ends with the first command that does not
// do as the document says: a command with the comment "# refused" has to fail, and all others must not.
//
//	go run ./test/quickstart docs/quickstart.md | bash
//
// Decision: the document is run, and not a copy of it, so that it cannot be wrong. With --without=kind, commands that
// begin with that word, and those that build, are left out, for a cluster that is there.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// forwarded finds the local port of a port-forward.
var forwarded = regexp.MustCompile(`port-forward .* ([0-9]+):[0-9]+ &$`)

func main() {
	without := flag.String("without", "", "leave out commands that begin with one of these words, separated by commas")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: quickstart [--without WORD,...] DOCUMENT")
		os.Exit(2)
	}
	text, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	fmt.Print(script(string(text), strings.Split(*without, ",")))
}

// script is what a shell is to run.
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
		case forwarded.MatchString(line): // people are slower than the port
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
