package admission

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/schedule"
)

// maxWarnings is the maximum number of overlapping stores that are named.
const maxWarnings = 8

func storeValidator(p *preflight, a *access) *validator[*v1alpha1.ArtifactStore] {
	return &validator[*v1alpha1.ArtifactStore]{
		preflight: p,
		spec:      func(s *v1alpha1.ArtifactStore) any { return &s.Spec },
		check:     p.checkStore,
		leaves:    p.storeLeaves,
		allowed: func(ctx context.Context, was, is *v1alpha1.ArtifactStore) error {
			for _, secret := range append(newMirrorSecrets(was, is), newSecret(was, is)) {
				if secret == "" {
					continue
				}
				if err := a.mayRead(ctx, is, secret); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// newSecret returns the Secret that a store references if the change may send it to a
// host that did not get it before: the store is new, or references another Secret or
// host. Otherwise it returns "". was is nil if the store is new. newSecret is pure.
func newSecret(was, is *v1alpha1.ArtifactStore) string {
	ref := is.Spec.Registry.CredentialsSecretRef
	if ref == nil {
		return ""
	}
	if was == nil || was.Spec.Registry.CredentialsSecretRef == nil || was.Spec.Registry.CredentialsSecretRef.Name != ref.Name {
		return ref.Name
	}
	if was.Spec.Registry.URL == is.Spec.Registry.URL {
		return ""
	}
	before, err1 := was.Location()
	after, err2 := is.Location()
	if err1 == nil && err2 == nil && before.Host == after.Host && before.PlainHTTP == after.PlainHTTP {
		return ""
	}
	return ref.Name
}

// checkStore checks a store, and warns about stores at the same place in the whole cluster: URLs must not overlap (I9).
func (p *preflight) checkStore(ctx context.Context, _, is *v1alpha1.ArtifactStore) (admission.Warnings, error) {
	var all v1alpha1.ArtifactStoreList
	if err := p.cached.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, unread(fmt.Errorf("listing stores: %w", err))
	}
	admitted := slices.DeleteFunc(all.Items, func(o v1alpha1.ArtifactStore) bool { return !p.places.Admits(&o) })
	return storeWarnings(is, admitted), invalid(is, slices.Concat(storeErrors(is), mirrorErrors(p.mirror, is), placeErrors(p.places, is), workloadErrors(p.places, is, admitted)))
}

// placeErrors refuses a place that the administrator's list denies to the store's namespace. It is pure.
func placeErrors(rules place.Rules, s *v1alpha1.ArtifactStore) field.ErrorList {
	at, err := s.Location()
	if err != nil {
		return nil // storeErrors reports it
	}
	if err := rules.Refusal(s.Namespace, at); err != nil {
		return field.ErrorList{field.Forbidden(placeField(s), err.Error())}
	}
	return nil
}

// placeField returns the field that says where a store is.
func placeField(s *v1alpha1.ArtifactStore) *field.Path {
	registry := field.NewPath("spec", "registry")
	if s.InClusterRegistry() {
		return registry.Child("clusterRegistry", "prefix")
	}
	return registry.Child("url")
}

// storeErrors is pure.
func storeErrors(s *v1alpha1.ArtifactStore) field.ErrorList {
	var all field.ErrorList
	spec := field.NewPath("spec")
	registry := spec.Child("registry")
	if _, err := s.Location(); err != nil {
		all = append(all, field.Invalid(placeField(s), "the URL", err.Error())) // the URL is not shown, because it may contain a secret
	}
	if ca := s.Spec.Registry.CABundle; len(ca) > 0 && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		all = append(all, field.Invalid(registry.Child("caBundle"), "the bundle", "it has no certificate in PEM; give at least one, or leave it out to trust the system's"))
	}
	if c := s.Spec.Capacity; c != nil && c.Sign() <= 0 {
		all = append(all, field.Invalid(spec.Child("capacity"), c.String(), "give a quantity above 0, or leave it out"))
	}
	return append(all, purgeErrors(s.Spec.Purge, spec.Child("purge"))...)
}

// mirrorErrors refuses a second mirror, and a mirror whose selector is invalid. It is pure.
func mirrorErrors(only client.ObjectKey, s *v1alpha1.ArtifactStore) field.ErrorList {
	m, at := s.Spec.Mirror, field.NewPath("spec", "mirror")
	if m == nil {
		return nil
	}
	var all field.ErrorList
	if client.ObjectKeyFromObject(s) != only {
		all = append(all, field.Forbidden(at, fmt.Sprintf("a cluster has one mirror, the store %s in the operator's namespace %s. Set the Helm value mirror.enabled, or remove spec.mirror", only.Name, only.Namespace)))
	}
	if _, err := metav1.LabelSelectorAsSelector(m.NamespaceSelector); err != nil {
		all = append(all, field.Invalid(at.Child("namespaceSelector"), m.NamespaceSelector.String(), err.Error()))
	}
	if in := s.Spec.Registry.ClusterRegistry; in != nil && in.Prefix != v1alpha1.MirrorPrefix {
		all = append(all, field.Invalid(field.NewPath("spec", "registry", "clusterRegistry", "prefix"), in.Prefix, "the prefix of the mirror is "+v1alpha1.MirrorPrefix))
	}
	return all
}

// newMirrorSecrets returns the Secrets for pulling images that the change adds to a mirror. It is pure.
func newMirrorSecrets(was, is *v1alpha1.ArtifactStore) []string {
	if is.Spec.Mirror == nil {
		return nil
	}
	var names []string
	for _, ref := range is.Spec.Mirror.ImagePullSecrets {
		if was == nil || was.Spec.Mirror == nil || !slices.Contains(was.Spec.Mirror.ImagePullSecrets, ref) {
			names = append(names, ref.Name)
		}
	}
	return names
}

func purgeErrors(p v1alpha1.PurgeSpec, at *field.Path) field.ErrorList {
	var all field.ErrorList
	if line := p.CronSchedule(); line != "" {
		if err := schedule.CheckLine(line); err != nil {
			all = append(all, field.Invalid(at.Child("schedule"), line, err.Error()))
		}
	}
	if err := schedule.CheckZone(p.CronTimeZone()); err != nil {
		all = append(all, field.Invalid(at.Child("timeZone"), p.TimeZone, err.Error()))
	}
	if p.ThresholdPercent > 0 && p.TargetPercent > p.ThresholdPercent {
		all = append(all, field.Invalid(at.Child("targetPercent"), p.TargetPercent,
			fmt.Sprintf("a purge that starts at thresholdPercent %d would stop at once; give at most that", p.ThresholdPercent)))
	}
	return all
}

// storeWarnings is pure. An overlap is not an error, because which store wins does not depend on the order of arrival.
func storeWarnings(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) admission.Warnings {
	var ws admission.Warnings
	if p := s.Spec.Purge; p.PersistentVolumeClaim != nil && p.Usage != v1alpha1.UsageVolume {
		ws = append(ws, "spec.purge.persistentVolumeClaim has no effect unless spec.purge.usage is Volume")
	}
	others := 0
	for i := range all {
		o := &all[i]
		inert := ""
		switch {
		case s.Winner(all[i:i+1]) != nil:
			inert = "this store does nothing"
		case o.UID != s.UID && o.Winner([]v1alpha1.ArtifactStore{*s}) != nil:
			inert = "that store does nothing"
		default:
			continue
		}
		if others++; others > maxWarnings {
			break
		}
		ws = append(ws, fmt.Sprintf("%s overlaps with that of %s: %s while both exist (PathConflict)", placeField(s), v1alpha1.ResourceID(v1alpha1.KindArtifactStore, o.Namespace, o.Name), inert))
	}
	return ws
}

// storeLeaves warns about the tombstones that are left without a store once this store is deleted.
func (p *preflight) storeLeaves(ctx context.Context, s *v1alpha1.ArtifactStore) (admission.Warnings, error) {
	var all v1alpha1.TombstoneList
	if err := p.cached.List(ctx, &all, client.InNamespace(s.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, unread(fmt.Errorf("listing tombstones: %w", err))
	}
	return leftBehind(s, all.Items), nil
}

// leftBehind is pure.
func leftBehind(s *v1alpha1.ArtifactStore, all []v1alpha1.Tombstone) admission.Warnings {
	here, err := s.Location()
	if err != nil {
		return nil
	}
	waiting := 0
	for i := range all {
		at, err := v1alpha1.ParseRegistryURL(all[i].Spec.RegistryURL)
		if err == nil && at.Same(here) && !all[i].Consumed() {
			waiting++
		}
	}
	if waiting == 0 {
		return nil
	}
	size := ""
	if u := s.Status.Usage; u != nil {
		size = fmt.Sprintf(" (%d bytes reclaimable when last measured)", u.ReclaimableBytes)
	}
	return admission.Warnings{fmt.Sprintf("Tombstones left behind: %d%s. They wait for a store of the same URL in this namespace; until there is one, nothing of them is restored or purged.", waiting, size)}
}

// workloadErrors refuses an invalid selector of workloads, and aliases that are
// places of others: only the owners of a place may learn who uses it. It is pure.
func workloadErrors(rules place.Rules, s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) field.ErrorList {
	w := s.Spec.Workloads
	here, err := s.Location()
	if w == nil || err != nil {
		return nil // storeErrors reports it
	}
	at := field.NewPath("spec", "workloads")
	if _, err := w.Selector(); err != nil {
		return field.ErrorList{field.Invalid(at.Child("namespaceSelector"), w.NamespaceSelector.String(), err.Error())}
	}
	var errs field.ErrorList
	for i, alias := range w.RegistryAliases {
		one := v1alpha1.WorkloadsSpec{RegistryAliases: []string{alias}}
		path := at.Child("registryAliases").Index(i)
		locations, err := one.Locations(here)
		if err != nil {
			errs = append(errs, field.Invalid(path, alias, err.Error()))
			continue
		}
		if err := rules.Refusal(s.Namespace, locations[1]); err != nil {
			errs = append(errs, field.Forbidden(path, err.Error()))
		}
		for j := range all {
			o := &all[j]
			names, err := o.Names()
			overlaps := slices.ContainsFunc(names, locations[1].Overlaps)
			if err == nil && o.Namespace != s.Namespace && overlaps {
				errs = append(errs, field.Forbidden(path, fmt.Sprintf("it overlaps with a store of another namespace, %s/%s. An alias is another name of what is in this store", o.Namespace, o.Name)))
				break
			}
		}
	}
	return errs
}
