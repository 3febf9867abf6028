package workload

import (
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/internal/livelist"
)

// fluxSource is the source of a chart in Flux.
type fluxSource struct {
	Kind text `json:"kind"`
}

// inRegistry reports whether the chart can be in a registry: charts in Git and in buckets cannot.
func (s fluxSource) inRegistry() bool { return s.Kind != "GitRepository" && s.Kind != "Bucket" }

// fluxOCIRepository reads an OCIRepository. The digest in its status.artifact
// is that of an archive that Flux makes, which is in no registry.
func (c *collector) fluxOCIRepository(one livelist.Decoder) error {
	var spec struct {
		URL text `json:"url"`
		Ref struct {
			Tag    text `json:"tag"`
			Digest text `json:"digest"`
			SemVer text `json:"semver"`
		} `json:"ref"`
	}
	var status struct {
		Artifact struct {
			Revision text `json:"revision"`
		} `json:"artifact"`
	}
	by, err := c.custom(one, "OCIRepository.source.toolkit.fluxcd.io", &spec, &status)
	if err != nil {
		return err
	}
	at, uses := strings.Trim(strings.TrimPrefix(string(spec.URL), "oci://"), "/"), map[Use]bool{}
	c.at(uses, at, string(spec.Ref.Digest), "")
	c.at(uses, at, string(spec.Ref.Tag), "")
	c.at(uses, at, string(status.Artifact.Revision), "")
	if spec.Ref.Digest == "" && spec.Ref.Tag == "" && spec.Ref.SemVer == "" {
		c.at(uses, at, "latest", "")
	}
	return c.add(nil, "", by, uses)
}

// fluxHelmChart reads a HelmChart, which references a chart by its name.
func (c *collector) fluxHelmChart(one livelist.Decoder) error {
	var spec struct {
		Chart     text       `json:"chart"`
		Version   text       `json:"version"`
		SourceRef fluxSource `json:"sourceRef"`
	}
	var status struct {
		ObservedChartName text `json:"observedChartName"`
		Artifact          struct {
			Revision text `json:"revision"`
		} `json:"artifact"`
	}
	by, err := c.custom(one, "HelmChart.source.toolkit.fluxcd.io", &spec, &status)
	if err != nil {
		return err
	}
	uses := map[Use]bool{}
	if spec.SourceRef.inRegistry() && spec.Chart != "" {
		chartAnywhere(uses, string(spec.Chart), string(spec.Version), "", "")
		chartAnywhere(uses, string(spec.Chart), string(status.Artifact.Revision), "", "")
		if status.ObservedChartName != "" { // the name that belongs to the revision in status, which may be older than the spec
			chartAnywhere(uses, string(status.ObservedChartName), string(status.Artifact.Revision), "", "")
		}
	}
	return c.add(nil, "", by, uses)
}

type fluxReleaseStatus struct {
	History []struct {
		ChartName    text `json:"chartName"`
		ChartVersion text `json:"chartVersion"`
		OCIDigest    text `json:"ociDigest"`
		Version      text `json:"version"`
	} `json:"history"`
	LastAttemptedRevision       text `json:"lastAttemptedRevision"`
	LastAttemptedRevisionDigest text `json:"lastAttemptedRevisionDigest"`
	LastAppliedRevision         text `json:"lastAppliedRevision"`
}

// fluxHelmRelease reads a HelmRelease of Flux. It has the names and
// versions of charts, and often their digests, but not their repositories.
func (c *collector) fluxHelmRelease(one livelist.Decoder) error {
	var spec struct {
		Chart struct {
			Spec struct {
				Chart     text       `json:"chart"`
				Version   text       `json:"version"`
				SourceRef fluxSource `json:"sourceRef"`
			} `json:"spec"`
		} `json:"chart"`
	}
	var status fluxReleaseStatus
	by, err := c.custom(one, "HelmRelease.helm.toolkit.fluxcd.io", &spec, &status)
	if err != nil {
		return err
	}
	uses, names := map[Use]bool{}, map[string]bool{}
	inRegistry := true
	if of := spec.Chart.Spec; of.Chart != "" {
		if inRegistry = of.SourceRef.inRegistry(); inRegistry {
			names[string(of.Chart)] = true
			chartAnywhere(uses, string(of.Chart), string(of.Version), "", "")
		}
	}
	for _, h := range status.History {
		if h.ChartName == "" && h.OCIDigest == "" {
			continue
		}
		names[string(h.ChartName)] = true
		chartAnywhere(uses, string(h.ChartName), string(h.ChartVersion), string(h.OCIDigest), fmt.Sprintf(", revision %s", h.Version))
	}
	if len(names) == 0 && inRegistry {
		names[""] = true
	}
	for name := range names {
		chartAnywhere(uses, name, string(status.LastAttemptedRevision), string(status.LastAttemptedRevisionDigest), "")
		chartAnywhere(uses, name, string(status.LastAppliedRevision), "", "")
	}
	return c.add(nil, "", by, uses)
}
