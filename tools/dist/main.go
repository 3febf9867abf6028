package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const usage = `dist makes the files of a release in one folder.

Usage: go run -C tools/dist . <command> <flags>

Commands:
  version   print the version of the chart and of the image's tag
  chart     write the chart's package
  release   write the plugin's archives, krew's manifest, the SBOM and SHA256SUMS beside what is in the folder
  sign      sign the chart and SHA256SUMS; the passphrase of the key is in NFO_SIGNING_PASSPHRASE

'dist <command> --help' lists the flags.
`

// errUsage ends the program with status 2; the fault has been printed already.
var errUsage = errors.New("wrong usage")

func main() {
	err := dispatch(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func dispatch(args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	commands := map[string]func(options, io.Writer) error{
		"version": func(o options, out io.Writer) error {
			version, err := o.chartVersion()
			if err == nil {
				fmt.Fprintln(out, version)
			}
			return err
		},
		"chart": writeChart, "release": release,
		"sign": func(o options, _ io.Writer) error {
			return sign(o.out, o.key, []byte(os.Getenv("NFO_SIGNING_PASSPHRASE")))
		},
	}
	do := commands[args[0]]
	if do == nil {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	o, err := parse(args[0], args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return errors.Join(errUsage, err) // err has been printed
	}
	return do(o, out)
}

// options are the flags of all commands.
type options struct {
	// version is the name of the release in git or on the command line, such as v0.1.0.
	version string
	created time.Time
	// out is the folder of the release.
	out string
	// chart is the folder of the chart's sources.
	chart string
	// downloads is the URL from which the files of the release can be downloaded.
	downloads string
	// license is the file with the license, which each archive contains.
	license string
	// image is the file of the image in out, and programs are the programs in the image.
	image    string
	programs list
	// plugins are the programs of kubectl's plugin by platform, such as linux/amd64=path.
	plugins list
	key     string
}

// list is a flag that can be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func parse(command string, args []string) (options, error) {
	var o options
	var epoch int64
	f := flag.NewFlagSet("dist "+command, flag.ContinueOnError)
	f.StringVar(&o.version, "version", "", "version of the release, such as v0.1.0")
	f.Int64Var(&epoch, "epoch", 0, "Unix time, in seconds, of everything in the files")
	f.StringVar(&o.out, "out", "", "folder of the release")
	f.StringVar(&o.chart, "chart", "", "folder of the chart")
	f.StringVar(&o.downloads, "downloads", "", "URL of the folder that the files can be downloaded from")
	f.StringVar(&o.license, "license", "", "file with the license")
	f.StringVar(&o.image, "image", "", "name of the image's archive in the folder of the release")
	f.Var(&o.programs, "program", "a program in the image; repeatable")
	f.Var(&o.plugins, "plugin", "kubectl's plugin for a platform, as linux/amd64=PATH; repeatable")
	f.StringVar(&o.key, "key", "", "file with an OpenPGP secret key, armored or not")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.created = time.Unix(epoch, 0).UTC()
	needed := map[string][]string{"version": {o.version, o.chart}, "chart": {o.version, o.chart, o.out}, "release": {o.version, o.out, o.downloads, o.license}, "sign": {o.out, o.key}}
	for _, value := range needed[command] {
		if value == "" {
			fmt.Fprintf(os.Stderr, "dist %s: a flag is missing\n", command)
			f.Usage()
			return o, errUsage
		}
	}
	return o, nil
}
