package main

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

func TestResourcesOfPurges(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason   string
		args     []string
		requests string
		limits   string
		says     string // part of the error, "" if there is none
	}{
		"Default":      {"what the chart's values say too", nil, "cpu=50m,memory=64Mi", "cpu=1,memory=512Mi", ""},
		"Set":          {"a list replaces the default", []string{"--purger-requests=memory=128Mi", "--purger-limits=memory=1Gi,cpu=1500m"}, "memory=128Mi", "cpu=1500m,memory=1Gi", ""},
		"Exponent":     {"as Helm writes large numbers", []string{"--purger-limits=memory=5.36870912e+08"}, "cpu=50m,memory=64Mi", "memory=5.36870912e+08", ""},
		"None":         {"an empty list is not a limit", []string{"--purger-requests=", "--purger-limits="}, "", "", ""},
		"Disk":         {"what a quota may ask for too", []string{"--purger-limits=ephemeral-storage=1Gi"}, "cpu=50m,memory=64Mi", "ephemeral-storage=1Gi", ""},
		"Quantity":     {"a typing error", []string{"--purger-limits=cpu=one"}, "", "", `"one" is not a quantity of cpu`},
		"NoValue":      {"a name alone", []string{"--purger-limits=cpu"}, "", "", `"" is not a quantity of cpu`},
		"Name":         {"a typing error in the name", []string{"--purger-limits=mem=1Gi"}, "", "", `"mem" is not cpu, memory or ephemeral-storage`},
		"Twice":        {"which one is meant?", []string{"--purger-limits=cpu=1,cpu=2"}, "", "", "cpu is given twice"},
		"Zero":         {"nothing runs with it", []string{"--purger-limits=cpu=0"}, "", "", "cpu is 0 and must be above 0"},
		"Millibytes":   {"m is a thousandth, not a megabyte", []string{"--purger-requests=", "--purger-limits=memory=512m"}, "", "", "memory=512m and must have at least 32Mi"},
		"AboveLimit":   {"the API server would refuse every CronJob", []string{"--purger-requests=memory=1Gi"}, "", "", "--purger-requests has memory=1Gi, which is more than the 512Mi"},
		"CPUOverLimit": {"for each resource", []string{"--purger-limits=cpu=10m"}, "", "", "--purger-requests has cpu=50m, which is more than the 10m"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cfg managerConfig
			cmd := managerCommand(&cfg)
			err := cmd.ParseFlags(tc.args)
			if err == nil {
				err = checkResources(cfg.Purger.Resources)
			}
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s: the error is %v, want %q", tc.reason, err, tc.says)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			r := cfg.Purger.Resources
			if got := (resourceList{&r.Requests}).String(); got != tc.requests {
				t.Errorf("%s: the requests are %q, want %q", tc.reason, got, tc.requests)
			}
			if got := (resourceList{&r.Limits}).String(); got != tc.limits {
				t.Errorf("%s: the limits are %q, want %q", tc.reason, got, tc.limits)
			}
		})
	}
}

func TestManagerChecksTheResources(t *testing.T) {
	t.Parallel()
	cfg := managerConfig{webhookPort: 9443}
	cfg.PollsPerSecond, cfg.Purger.Resources, cfg.charts = 5, cronjob.DefaultResources(), chart.Limits{CPU: chart.DefaultCPU, Memory: chart.DefaultMemory}
	if err := (resourceList{&cfg.Purger.Resources.Limits}).Set("memory=1"); err != nil {
		t.Fatal(err)
	}
	if err := runManager(t.Context(), &rest.Config{}, cfg); err == nil || !strings.Contains(err.Error(), "--purger-limits") {
		t.Errorf("the error is %v", err)
	}
}

func TestHelpSaysTheDefaultResources(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cmd := newManagerCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(default cpu=50m,memory=64Mi)", "(default cpu=1,memory=512Mi)", "(default 10s)", "(default 384Mi)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help does not say %q", want)
		}
	}
}

func TestByteCount(t *testing.T) {
	t.Parallel()
	var n int64
	b := byteCount{&n}
	if err := b.Set("1Gi"); err != nil || n != 1<<30 || b.String() != "1Gi" {
		t.Errorf("1Gi is %d, %s, %v", n, b, err)
	}
	if err := b.Set("many"); err == nil || n != 1<<30 {
		t.Errorf("%d, %v", n, err)
	}
}
