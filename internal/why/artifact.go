package why

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/reference"
)

// artifact answers what keeps the copy of an image in the mirror, according to the manager's last reading.
func (f *whyFlags) artifact(ctx context.Context, api client.Client, namespace, name string) (*answer, error) {
	var a v1alpha1.Artifact
	if err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &a); err != nil {
		if apierrors.IsNotFound(err) {
			err = fmt.Errorf("%s does not exist: no workload of the namespace uses the image, or it is not mirrored", v1alpha1.ResourceID(v1alpha1.KindArtifact, namespace, name))
		}
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	stores, _, err := anywhere(ctx, api, namespace, &v1alpha1.ArtifactStoreList{}, "artifactstores")
	if err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	return aboutArtifact(&a, mirrorOf(stores.(*v1alpha1.ArtifactStoreList).Items)), nil
}

// aboutArtifact returns the workloads that use an Artifact, and until when
// its copy stays. mirror is nil if it is not known. aboutArtifact is pure.
func aboutArtifact(a *v1alpha1.Artifact, mirror *v1alpha1.ArtifactStore) *answer {
	status := a.Status
	all := &answer{Subject: fmt.Sprintf("%s (%s)", v1alpha1.ResourceID(v1alpha1.KindArtifact, a.Namespace, a.Name), a.Spec.SourceArtifact), Kept: status.UnusedSince == nil || a.Kept()}
	for _, u := range status.Users {
		l := &link{Object: reference.Object{Kind: u.Kind, Namespace: a.Namespace, Name: u.Name}.String(), Because: u.Detail, stands: true}
		all.KeptBy = append(all.KeptBy, l)
		all.Roots = append(all.Roots, l.Object)
	}
	if more := int(status.UserCount) - len(status.Users); more > 0 {
		all.Incomplete = append(all.Incomplete, v1alpha1.Count(more, "more workload uses ", "more workloads use ")+v1alpha1.ResourceID(v1alpha1.KindArtifact, a.Namespace, a.Name))
	}
	if mirror == nil {
		all.Incomplete = append(all.Incomplete, "the ArtifactStore of the mirror does not exist or may not be read by you, so the grace period is not known")
	}
	all.Verdict = strings.Join([]string{stays(a, mirror), read(status)}, " ")
	return all
}

// stays says until when a copy stays.
func stays(a *v1alpha1.Artifact, mirror *v1alpha1.ArtifactStore) string {
	since := a.Status.UnusedSince
	switch {
	case a.Releasing():
		return "A purge is removing it from the mirror. If a workload uses it again, it is kept, or copied again."
	case a.Kept():
		return "The annotation " + v1alpha1.AnnotationKeep + " keeps it, whether it is used or not."
	case since == nil && a.Status.UserCount == 0:
		return "nfo has not read yet who uses it, so it stays."
	case since == nil:
		return fmt.Sprintf("It is used by %s, and stays for the grace period after the last one.", v1alpha1.Count(int(a.Status.UserCount), "workload", "workloads"))
	case mirror == nil:
		return fmt.Sprintf("Nothing has used it since %s.", stamp(since.Time))
	}
	p := mirror.Spec.Purge
	text := fmt.Sprintf("Nothing has used it since %s. It stays until %s, and the first purge after that removes it.", stamp(since.Time), stamp(since.Add(p.GracePeriod.Duration)))
	switch {
	case p.CronSchedule() == "" || p.Suspend:
		return text + " No purge starts by schedule."
	case p.DryRun:
		return text + " But spec.purge.dryRun is set, so nothing is removed."
	}
	return fmt.Sprintf("%s Purges start by schedule %q, %s.", text, p.CronSchedule(), p.CronTimeZone())
}

// read says how old the list of users is.
func read(status v1alpha1.MirrorStatus) string {
	if status.UsersReadAt == nil {
		return "The manager has not read who uses it."
	}
	return fmt.Sprintf("The manager wrote who uses it at %s; it reads that every 10 minutes and writes what changed.", status.UsersReadAt.UTC().Format(time.RFC3339))
}
