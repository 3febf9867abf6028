package workload

import (
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/internal/livelist"
)

// argoSource is a source of an Argo CD Application.
type argoSource struct {
	RepoURL        text `json:"repoURL"`
	Chart          text `json:"chart"`
	TargetRevision text `json:"targetRevision"`
}

// repository returns the repository of the source in a registry, without a scheme. It is empty for a source that is not
// in a registry: Git, or a chart repository with an index.
func (s argoSource) repository() string {
	at, oci := strings.CutPrefix(string(s.RepoURL), "oci://")
	switch at = strings.Trim(at, "/"); {
	case strings.Contains(at, "://"), s.Chart == "" && !oci:
		return ""
	case s.Chart != "":
		return at + "/" + strings.Trim(string(s.Chart), "/")
	}
	return at
}

// argoRevisions has one source or several, with the revisions to
// which they were resolved. Revisions[i] belongs to Sources[i].
type argoRevisions struct {
	Source    argoSource   `json:"source"`
	Sources   []argoSource `json:"sources"`
	Revision  text         `json:"revision"`
	Revisions []text       `json:"revisions"`
}

// of returns the revisions with the sources of others if r has no sources.
func (r argoRevisions) of(others argoRevisions) argoRevisions {
	if r.Source == (argoSource{}) && len(r.Sources) == 0 {
		r.Source, r.Sources = others.Source, others.Sources
	}
	return r
}

// application adds the uses of sources, both at the revisions in r and at the revisions that the sources ask for.
func (c *collector) application(uses map[Use]bool, r argoRevisions, suffix string) {
	one := func(s argoSource, revision text) {
		if at := s.repository(); at != "" {
			c.at(uses, at, string(s.TargetRevision), suffix)
			c.at(uses, at, string(revision), suffix)
		}
	}
	one(r.Source, r.Revision)
	for i, s := range r.Sources {
		revision := text("")
		if i < len(r.Revisions) {
			revision = r.Revisions[i]
		}
		one(s, revision)
	}
}

// argoOperation is a requested, running or finished operation. A rollback has its own sources.
type argoOperation struct {
	Sync argoRevisions `json:"sync"`
}

type argoStatus struct {
	Sync struct {
		argoRevisions
		ComparedTo argoRevisions `json:"comparedTo"`
	} `json:"sync"`
	History []struct {
		argoRevisions
		ID text `json:"id"`
	} `json:"history"`
	OperationState struct {
		Operation  argoOperation `json:"operation"`
		SyncResult argoRevisions `json:"syncResult"`
	} `json:"operationState"`
	Summary struct {
		Images []text `json:"images"`
	} `json:"summary"`
}

// argoApplication reads an Application of Argo CD.
func (c *collector) argoApplication(one livelist.Decoder) error {
	var spec argoRevisions
	var status argoStatus
	var operation argoOperation
	by, err := c.custom(one, "Application.argoproj.io", &spec, &status, &operation)
	if err != nil {
		return err
	}
	spec.Revision, spec.Revisions = "", nil // a spec has no resolved revisions
	uses, sync := map[Use]bool{}, status.Sync.argoRevisions
	c.application(uses, spec, "")
	c.application(uses, sync.of(spec), "")
	c.application(uses, sync.of(status.Sync.ComparedTo), "")
	c.application(uses, operation.Sync.of(spec), "")
	c.application(uses, status.OperationState.Operation.Sync.of(spec), "")
	c.application(uses, status.OperationState.SyncResult.of(spec), "")
	for _, h := range status.History {
		c.application(uses, h.argoRevisions, fmt.Sprintf(", history %s", h.ID))
	}
	for _, image := range status.Summary.Images {
		c.image(uses, string(image), "image", false)
	}
	return c.add(nil, "", by, uses)
}
