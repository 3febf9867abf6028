package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/apitime"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/terminal"
	"github.com/nfo-operator/nfo/internal/workload"
)

// exitError ends the program with an exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }

func (e *exitError) Unwrap() error { return e.err }

const purgeHelp = `Permanently deletes released artifacts that nothing references from one store's registry.

It works from the tombstones of the store's namespace. A digest is deleted only when the grace
period is over and no tag, manifest, definition, design or other tombstone keeps it; every other
one is kept, with a reason. After deleting, it reads each repository again: what turns out to be
needed is restored. Only one purge of a store runs at a time. It can be stopped, and run
again, at any time.

Only the operator and its purge jobs may write tombstones. A user who may impersonate the ServiceAccount
STORE-purge in the store's namespace therefore runs a purge as that account, which is logged; --as names
another user. The Secret of the store is read as the user of the kubeconfig file in any case. Without
that right, start a purge in the cluster:
  kubectl create job --from=cronjob/STORE-purge purge-now -n NAMESPACE

A purge of a store with spec.registry.clusterRegistry that deleted something asks the registry to collect, which
frees the disk. With --wait-for-collection it waits for the end and reports how many bytes were freed. The store's
purge jobs wait for at most 10 minutes. If the collection fails or takes longer, the report says so; the purge has
succeeded all the same.

The store that is the mirror (spec.mirror) has no tombstones. A purge of it deletes the copies of Artifacts, in
all namespaces, that no workload has used for the grace period, and tags that no Artifact names. Each Artifact is
claimed first (state Releasing). Who uses it is read from the cluster again before and after its copy is removed:
what is used again is restored, or copied again. The annotation nfo.dev/keep on an Artifact keeps its copy.
Nothing is removed because the source of an image does not answer.

With --dry-run it reports what it would do and writes nothing, neither to the registry nor to the
API server.

Exit codes:
  0  done, also when there was nothing to do, also after a dry run
  1  something failed or it was stopped; run it again, and read what it says: if it says LOST, push
     that image again
  2  wrong usage
  3  another purge of the store is running, after a wait of 20 seconds
  4  the store must not be purged now: it does not exist, it is being deleted, another store
     with an overlapping URL precedes it, the administrator's list of places refuses it, another store may
     share its registry under another name, the manager has not judged it yet, it has a threshold and
     usage is unknown, what workloads run is to be counted and cannot be read, or this host's clock is
     more than a minute off the API server's. Or the user may not run as the account of its purge jobs,
     or that account is missing`

// purgeFlags holds the flags of `nfo purge`.
type purgeFlags struct {
	namespace, store, output string
	volume, credentials      string
	registryToken            string
	dryRun                   bool
	allowLoopback            bool
	wait                     time.Duration
	// termination is the file in which a container leaves its error for the kubelet.
	termination string
	clusterFlags
}

const (
	// terminationLog is the kubelet's default for this file.
	terminationLog = corev1.TerminationMessagePathDefault
	// terminationLimit is the most that the kubelet keeps of the file, in bytes.
	terminationLimit = 4096
	// maxWait is the longest that a purge may wait for the registry's collection.
	maxWait = time.Hour
)

func newPurgeCommand() *cobra.Command {
	flags := purgeFlags{termination: terminationLog}
	cmd := &cobra.Command{
		Use:   "purge --namespace NAMESPACE --store STORE",
		Short: "Permanently delete released artifacts that nothing references",
		Long:  purgeHelp,
		Example: `  nfo purge --namespace publisher --store acme --dry-run
  nfo purge --namespace publisher --store acme`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &exitError{cronjob.ExitUsage, fmt.Errorf("unexpected argument %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.validate(); err != nil {
				return &exitError{cronjob.ExitUsage, err}
			}
			return runPurge(cmd.Context(), flags, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{cronjob.ExitUsage, err} })
	f := cmd.Flags()
	f.StringVarP(&flags.namespace, "namespace", "n", "", "namespace of the store (required)")
	f.StringVar(&flags.store, "store", "", "name of the ArtifactStore (required)")
	f.BoolVar(&flags.dryRun, "dry-run", false, "report what would be done and write nothing")
	f.StringVarP(&flags.output, "output", "o", "table", "table, or json: one object a line for each digest, then the summary")
	f.StringVar(&flags.volume, "volume", "", "where the registry's volume is mounted, for stores with usage Volume")
	f.StringVar(&flags.credentials, "credentials", "", "where the store's Secret is mounted; default: it is read from the API server, as the kubeconfig file's user")
	f.StringVar(&flags.registryToken, "registry-token", "", "file with a token of the store's purge account for the audience "+v1alpha1.ClusterRegistryAudience+", for stores with spec.registry.clusterRegistry")
	f.BoolVar(&flags.allowLoopback, cronjob.AllowLoopbackFlag, false, "connect to a registry at a loopback address, such as 127.0.0.1, too")
	f.DurationVar(&flags.wait, cronjob.WaitFlag, 0, "time to wait for the collection that a purge in the cluster's own registry asks for, at most 1h; 10m without a value, 0 does not wait")
	f.Lookup(cronjob.WaitFlag).NoOptDefVal = "10m"
	flags.add(cmd)
	return cmd
}

func (f purgeFlags) validate() error {
	switch {
	case f.namespace == "":
		return errors.New("--namespace is required")
	case f.store == "":
		return errors.New("--store is required")
	case f.wait < 0 || f.wait > maxWait:
		return fmt.Errorf("--%s is %s and must be between 0 and %s", cronjob.WaitFlag, f.wait, maxWait)
	case f.output != "table" && f.output != "json":
		return fmt.Errorf("--output is table or json, not %q", f.output)
	}
	return nil
}

// runPurge purges and writes the report, if there is one, also after an
// error. In a container the error is also written for the pod's status.
func runPurge(ctx context.Context, flags purgeFlags, out, progress io.Writer) error {
	err := purgeAndReport(ctx, flags, out, progress)
	if err != nil {
		writeTermination(flags.termination, err)
	}
	return err
}

// writeTermination writes an error, as one line, to the kubelet's file. Outside of a container the file does not
// exist, and is not created. If the write fails, the kubelet takes the end of the log, which has the error too.
func writeTermination(file string, err error) {
	f, openErr := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if openErr != nil {
		return
	}
	defer func() { _ = f.Close() }()
	_, _ = f.WriteString(v1alpha1.Clip(v1alpha1.Line(strings.ReplaceAll(err.Error(), "\n", "; ")), terminationLimit))
}

func purgeAndReport(ctx context.Context, flags purgeFlags, out, progress io.Writer) error {
	collectEarly()
	log := slog.New(slog.NewTextHandler(terminal.Text(progress), nil))
	if flags.output == "json" {
		log = slog.New(slog.NewJSONHandler(terminal.JSON(progress), nil))
	}
	secrets, err := flags.secrets()
	if err != nil {
		return &exitError{cronjob.ExitFailed, err}
	}
	if err := flags.impersonate(ctx, log); err != nil {
		return &exitError{purgeExitCode(err), err}
	}
	cfg, err := purgeConfig(flags)
	if err != nil {
		return &exitError{cronjob.ExitFailed, err}
	}
	cfg.Secrets = secrets
	cfg.Log = log
	report, err := purge.Run(ctx, cfg)
	return concludePurge(report, err, flags.output, out)
}

// concludePurge writes the report. The table omits the error, because the program prints it at its end.
func concludePurge(report purge.Report, err error, output string, out io.Writer) error {
	if err != nil && output != "json" {
		report.Message = ""
	}
	write := report.WriteTable
	if output == "json" {
		write = report.WriteJSON
	}
	if writeErr := write(out); err == nil && writeErr != nil {
		err = writeErr
	}
	if err != nil {
		return &exitError{purgeExitCode(err), err}
	}
	return nil
}

func purgeExitCode(err error) int {
	switch {
	case errors.Is(err, purge.ErrRunning):
		return cronjob.ExitRunning
	case errors.Is(err, purge.ErrRefused), errors.Is(err, purge.ErrAccount):
		return cronjob.ExitRefused
	}
	return cronjob.ExitFailed
}

// impersonate sets --as to the store's purge account if neither the command line nor the kubeconfig file has
// a user to impersonate and the process needs that account. A dry run writes nothing and needs no account.
func (f *purgeFlags) impersonate(ctx context.Context, log *slog.Logger) error {
	if f.dryRun || f.as != "" {
		return nil
	}
	kube, api, err := f.connect(requestTimeout)
	if err != nil {
		return err
	}
	if kube.Impersonate.UserName != "" {
		return nil
	}
	f.as, err = purge.Impersonation(ctx, api, client.ObjectKey{Namespace: f.namespace, Name: f.store})
	if err == nil && f.as != "" {
		log.Info("Running as the store's own account, which may write tombstones", "user", f.as)
	}
	return err
}

// secrets returns a reader of the mounted Secret, or of Secrets in the API server as the kubeconfig
// file's user: the store's purge account, as which the command may run, may not read any.
func (f *purgeFlags) secrets() (purge.SecretReader, error) {
	if f.credentials != "" {
		return purge.MountedSecret(f.credentials), nil
	}
	own := f.clusterFlags
	own.as = ""
	_, api, err := own.connect(requestTimeout)
	if err != nil {
		return nil, err
	}
	return purge.StoredSecrets(api), nil
}

func purgeConfig(flags purgeFlags) (purge.Config, error) {
	server := &apitime.Clock{}
	kube, api, err := flags.connect(0, server.Wrap)
	if err != nil {
		return purge.Config{}, err
	}
	lists, err := livelist.NewClient(api, kube, nil)
	if err != nil {
		return purge.Config{}, err
	}
	leases, err := coordinationv1client.NewForConfig(kube)
	if err != nil {
		return purge.Config{}, fmt.Errorf("connecting to the cluster: %w", err)
	}
	workloads, err := newWorkloads(kube, server.Now)
	if err != nil {
		return purge.Config{}, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // the random part of the identity is unique alone
	}
	return purge.Config{
		Namespace: flags.namespace, Store: flags.store, DryRun: flags.dryRun, Volume: flags.volume, RegistryToken: flags.registryToken, AllowLoopback: flags.allowLoopback,
		WaitForCollection: flags.wait,
		Client:            livelist.NewMemory(lists), Leases: leases, Workloads: workloads.Read, Images: workloads.ReadImages, Now: server.Now, Skew: server.Skew, Identity: cmp.Or(host, "nfo-purge") + "_" + rand.Text(),
	}, nil
}

// releaseMemory is the memory of the process that decodes Helm's records during a purge, in bytes.
const releaseMemory = 160 << 20

// newWorkloads returns a reader of what workloads run.
func newWorkloads(kube *rest.Config, now func() time.Time) (*workload.Reader, error) {
	through, err := rest.HTTPClientFor(kube)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	releases, err := chart.NewReader(chart.Limits{Memory: releaseMemory}, 1)
	if err != nil {
		return nil, err
	}
	return workload.NewReader(kube, through, releases, clock.RealClock{}, now)
}
