package nodefiles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// interval is the time between two passes over the files, and retry the time after
// a failure, for example while the certificates have not been issued yet.
const (
	interval = time.Minute
	retry    = 5 * time.Second
)

var errUnwritten = errors.New("the files of the node, by which its container runtime reaches the registry, are not written yet")

// Keeper keeps the files of a node in the desired state.
type Keeper struct {
	options func() (Options, error)
	log     *slog.Logger
	unread  *prometheus.GaugeVec
	// said is the last warning that was logged, so that it is not repeated every minute.
	said string
	// failed is true if the last pass failed.
	failed bool
	// unready says why no pass has written all files yet; nil once a pass has.
	unready atomic.Pointer[error]
}

// NewKeeper returns a Keeper. It calls options before each pass.
func NewKeeper(options func() (Options, error), log *slog.Logger) *Keeper {
	k := &Keeper{options: options, log: log, unread: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "nfo_agent_node_files_wrong",
		Help: "What keeps the node's container runtime from the files of the agent: unread (its configuration does not name them), foreign (somebody else's files are there), failed (they could not be written); 1 if so.",
	}, []string{"reason"})}
	k.unready.Store(&errUnwritten)
	return k
}

// Describe is of prometheus.Collector.
func (k *Keeper) Describe(to chan<- *prometheus.Desc) { k.unread.Describe(to) }

// Collect is of prometheus.Collector.
func (k *Keeper) Collect(to chan<- prometheus.Metric) { k.unread.Collect(to) }

// Ready returns an error until all files have been written once, and so as long as somebody else's files prevent it: the
// runtime may not reach the registry then. After a later failure Ready still returns nil, because the existing files remain
// in use.
func (k *Keeper) Ready(*http.Request) error {
	if why := k.unready.Load(); why != nil {
		return *why
	}
	return nil
}

// Run makes a pass over the files every minute until ctx ends. With cleanUp it then removes the files.
func (k *Keeper) Run(ctx context.Context, cleanUp bool) error {
	for {
		k.Pass()
		pause := interval
		if k.failed {
			pause = retry
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
			timer.Stop()
		}
		if !cleanUp {
			return nil
		}
		o, _ := k.options() // the folders are set even if the rest is not available
		report, err := Remove(o.Containerd, o.Containers)
		k.log.Info("Removed the files of the node", "removed", report.Removed)
		return err
	}
}

// Pass brings the files into the desired state, once. It reports
// problems in the metrics, and logs them when they change.
func (k *Keeper) Pass() {
	o, err := k.options()
	var report Report
	if err == nil {
		report, err = Apply(o)
	}
	k.failed = err != nil
	if k.unready.Load() != nil {
		k.unready.Store(incomplete(report, err))
	}
	var wrong []string
	unread := ""
	if o.Containerd != "" {
		unread = Unread(o.Containerd)
	}
	if unread != "" {
		wrong = append(wrong, unread)
	}
	if len(report.Foreign) > 0 {
		wrong = append(wrong, "somebody else has written, and the mirror is not used for these registries until that is removed: "+strings.Join(report.Foreign, ", "))
	}
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	for reason, is := range map[string]bool{"unread": unread != "", "foreign": len(report.Foreign) > 0, "failed": err != nil} {
		value := 0.0
		if is {
			value = 1
		}
		k.unread.WithLabelValues(reason).Set(value)
	}
	if report.Written+report.Removed > 0 {
		k.log.Info("Changed the files of the node. CRI-O reads its own after: systemctl reload crio", "written", report.Written, "removed", report.Removed)
	}
	if text := strings.Join(wrong, "; "); text != k.said {
		k.said = text
		if text != "" {
			k.log.Warn("The container runtime of this node may not use the mirror", "why", text)
		}
	}
}

// incomplete returns why a pass has not written all files; nil if it has.
func incomplete(report Report, err error) *error {
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", errUnwritten, err)
	case len(report.Foreign) > 0:
		err = fmt.Errorf("%w: remove what somebody else has written: %s", errUnwritten, strings.Join(report.Foreign, ", "))
	default:
		return nil
	}
	return &err
}

// ReadFiles reads the three PEM files into Options. A missing
// or empty file, or one longer than maxContent, is an error.
func (o *Options) ReadFiles(authorities, certificate, key string) error {
	for name, to := range map[string]*[]byte{authorities: &o.Authorities, certificate: &o.Certificate, key: &o.Key} {
		info, err := os.Stat(name)
		if err == nil && info.Size() > maxContent {
			err = fmt.Errorf("%s has more than %d bytes", name, maxContent)
		}
		if err == nil {
			*to, err = os.ReadFile(name)
		}
		if err != nil {
			return fmt.Errorf("reading the certificates for the registry: %w", err)
		}
		if len(*to) == 0 {
			return errors.New("reading the certificates for the registry: " + name + " is empty")
		}
	}
	return nil
}

// Hosts returns registries sorted and without duplicates.
func Hosts(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}
