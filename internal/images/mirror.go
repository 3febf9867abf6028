package images

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
)

// mirrored is an image that workloads of one namespace need.
type mirrored struct {
	Image       string               `json:"image"`
	Namespace   string               `json:"namespace"`
	Artifact    string               `json:"artifact"`
	State       v1alpha1.MirrorState `json:"state"`
	Digest      string               `json:"digest,omitempty"`
	UserCount   int32                `json:"userCount"`
	UnusedSince *time.Time           `json:"unusedSince,omitempty"`
}

// needed lists the Artifacts of a namespace, or of all namespaces, sorted by image and namespace.
func needed(ctx context.Context, api client.Reader, namespace string, unused bool) ([]mirrored, error) {
	var artifacts v1alpha1.ArtifactList
	if err := api.List(ctx, &artifacts, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing artifacts: %w", err)
	}
	all := []mirrored{}
	for _, a := range artifacts.Items {
		if unused && a.Status.UnusedSince == nil {
			continue
		}
		m := mirrored{Image: a.Spec.SourceArtifact, Namespace: a.Namespace, Artifact: a.Name, State: cmp.Or(a.Status.State, v1alpha1.MirrorPending), Digest: a.Status.Digest, UserCount: a.Status.UserCount}
		if since := a.Status.UnusedSince; since != nil {
			m.UnusedSince = &since.Time
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b mirrored) int {
		return cmp.Or(cmp.Compare(a.Image, b.Image), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Artifact, b.Artifact))
	})
	return all, nil
}

// writeMirrored writes images as a table, as JSON, or as one reference a line, each once.
func writeMirrored(out io.Writer, format string, all []mirrored) error {
	switch format {
	case "json":
		return plugin.WriteJSON(out, map[string]any{"artifacts": all})
	case "name":
		last := ""
		for _, m := range all {
			if m.Image == last {
				continue
			}
			last = m.Image
			if _, err := fmt.Fprintln(out, v1alpha1.Line(m.Image)); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(w, "IMAGE\tNAMESPACE\tSTATE\tUSERS\tUNUSED SINCE")
	for _, m := range all {
		since := "-"
		if m.UnusedSince != nil {
			since = m.UnusedSince.UTC().Format(time.RFC3339)
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", v1alpha1.Line(m.Image), m.Namespace, m.State, m.UserCount, since)
		}
	}
	return cmp.Or(err, w.Flush())
}
