package admission

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

const (
	preview    = v1alpha1.VersionPreview
	active     = v1alpha1.VersionActive
	deprecated = v1alpha1.VersionDeprecated
)

// The fields that refusals show must be those of the references that hold.
func TestNamesAreTheReferences(t *testing.T) {
	t.Parallel()
	nfdv := definition("nfdv", preview, byManifest("m"), byStore("acme"), v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: "m"}, ArtifactStoreRef: &v1alpha1.LocalReference{Name: "acme"}})
	nsdv := design("nsdv", preview, byManifest("m"), "nfdv")
	for name, tc := range map[string]struct {
		reason string
		object client.Object
		got    []named
		at     []string
	}{
		"Definition": {"in the order of the spec", nfdv, definitionNames(nfdv), []string{
			"spec.networkFunctionTemplate.networkFunctionApplications[0].artifactProfile.artifactManifestRef.name",
			"spec.networkFunctionTemplate.networkFunctionApplications[1].artifactProfile.artifactStoreRef.name",
			"spec.networkFunctionTemplate.networkFunctionApplications[2].artifactProfile.artifactManifestRef.name",
			"spec.networkFunctionTemplate.networkFunctionApplications[2].artifactProfile.artifactStoreRef.name",
		}},
		"Design": {"both kinds of reference", nsdv, designNames(nsdv), []string{
			"spec.resourceElementTemplates[0].configuration.artifactProfile.artifactManifestRef.name",
			"spec.resourceElementTemplates[0].configuration.networkFunctionDefinitionVersionRef.name",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var at []string
			var to, want []reference.Object
			for _, n := range tc.got {
				at, to = append(at, n.at.String()), append(to, n.to)
			}
			for _, r := range reference.Of(tc.object) {
				want = append(want, r.To)
			}
			if diff := cmp.Diff(tc.at, at) + cmp.Diff(want, to); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTargetErrors(t *testing.T) {
	t.Parallel()
	m := reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: "publisher", Name: "m"}
	d := reference.Object{Kind: v1alpha1.KindDefinition, Namespace: "publisher", Name: "d"}
	s := reference.Object{Kind: v1alpha1.KindArtifactStore, Namespace: "publisher", Name: "acme"}
	names := func(os ...reference.Object) (all []named) {
		for _, o := range os {
			all = append(all, named{applicationsPath, o})
		}
		return all
	}
	at := applicationsPath.String() + ": "
	good := target{exists: true, ready: true}
	for name, tc := range map[string]struct {
		reason string
		v      version
		found  map[reference.Object]target
		want   []string
	}{
		"Good":            {"there and sealed", version{is: active, after: names(m, d)}, map[reference.Object]target{m: good, d: good}, nil},
		"NewGoing":        {"nothing new is built on what goes", version{is: preview, after: names(m)}, map[reference.Object]target{m: {exists: true, terminating: true}}, []string{at + "artifactmanifests/publisher/m is being deleted; name another one"}},
		"OldGoing":        {"it was named before", version{was: preview, is: preview, before: names(m), after: names(m)}, map[reference.Object]target{m: {exists: true, terminating: true}}, nil},
		"MissingPreview":  {"the order of files does not matter", version{is: preview, after: names(m, d)}, nil, nil},
		"MissingActive":   {"users would deploy nothing", version{is: active, after: names(m, d)}, nil, []string{at + "artifactmanifests/publisher/m does not exist", at + "networkfunctiondefinitionversions/publisher/d does not exist"}},
		"UnsealedPreview": {"still in work", version{is: preview, after: names(m)}, map[reference.Object]target{m: {exists: true}}, nil},
		"UnsealedActive":  {"it could still change", version{was: preview, is: active, before: names(m), after: names(m)}, map[reference.Object]target{m: {exists: true}}, []string{at + "artifactmanifests/publisher/m is not sealed, which an Active version needs; set its artifactManifestState to Uploaded first"}},
		"PreviewActive":   {"a preview below", version{was: preview, is: active, before: names(d), after: names(d)}, map[reference.Object]target{d: {exists: true}}, []string{at + "networkfunctiondefinitionversions/publisher/d is in Preview"}},
		"DeprecatedBelow": {"not a preview", version{is: active, after: names(d)}, map[reference.Object]target{d: {exists: true, ready: true, deprecated: true}}, nil},
		"Detour":          {"by way of Deprecated is not a way round", version{was: deprecated, is: active, before: names(m), after: names(m)}, map[reference.Object]target{m: {exists: true}}, []string{at + "artifactmanifests/publisher/m is not sealed"}},
		"StaysActive":     {"what became of it since is not its fault", version{was: active, is: active, before: names(m), after: names(m)}, nil, nil},
		"Deprecates":      {"it can always be withdrawn", version{was: active, is: deprecated, before: names(m), after: names(m)}, map[reference.Object]target{m: {exists: true, terminating: true}}, nil},
		"OldFormActive":   {"a store cannot be sealed, and may come later", version{is: active, after: names(s)}, nil, nil},
		"Back":            {"users may have deployed it", version{was: deprecated, is: preview}, nil, []string{"spec.versionState: a version that was Deprecated cannot return to Preview"}},
		"Withdrawn":       {"a preview that nobody liked", version{was: preview, is: deprecated, before: names(m), after: names(m)}, map[reference.Object]target{m: {exists: true}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			matches(t, tc.reason, tc.want, outline(append(tc.v.stateErrors(), tc.v.targetErrors(tc.found)...)))
		})
	}
}

func TestFrozen(t *testing.T) {
	t.Parallel()
	was := definition("nfdv", active, byStore("acme"), byManifest("m"))
	edit := func(change func(*v1alpha1.NetworkFunctionDefinitionVersion)) *v1alpha1.NetworkFunctionDefinitionVersion {
		d := was.DeepCopy()
		change(d)
		return d
	}
	source := func(i int, s v1alpha1.ArtifactSource) func(*v1alpha1.NetworkFunctionDefinitionVersion) {
		return func(d *v1alpha1.NetworkFunctionDefinitionVersion) {
			d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[i].ArtifactProfile.ArtifactSource = s
		}
	}
	for name, tc := range map[string]struct {
		reason string
		is     *v1alpha1.NetworkFunctionDefinitionVersion
		same   bool
	}{
		"State":     {"not a part of the template", edit(func(d *v1alpha1.NetworkFunctionDefinitionVersion) { d.Spec.VersionState = deprecated }), true},
		"Upgrade":   {"from the old form", edit(source(0, byManifest("m2"))), true},
		"Downgrade": {"never back", edit(source(1, byStore("acme"))), false},
		"OtherRef":  {"another manifest", edit(source(1, byManifest("m2"))), false},
		"OtherOld":  {"another store", edit(source(0, byStore("other"))), false},
		"Both":      {"half an upgrade", edit(source(0, v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: "m"}, ArtifactStoreRef: &v1alpha1.LocalReference{Name: "acme"}})), false},
		"UpgradeAndMore": {"the upgrade carries nothing else along", edit(func(d *v1alpha1.NetworkFunctionDefinitionVersion) {
			source(0, byManifest("m2"))(d)
			d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.HelmArtifactProfile.HelmPackageVersionRange = "*"
		}), false},
		"Fewer": {"an application less", edit(func(d *v1alpha1.NetworkFunctionDefinitionVersion) {
			d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[:1]
		}), false},
		"Name": {"another name", edit(func(d *v1alpha1.NetworkFunctionDefinitionVersion) {
			d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].Name = "z"
		}), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := sameTemplate(was, tc.is); got != tc.same {
				t.Errorf("%s: sameTemplate = %t", tc.reason, got)
			}
		})
	}
	old := design("nsdv", active, byStore("acme"), "nfdv")
	if !sameTemplates(old, design("nsdv", active, byManifest("m"), "nfdv")) {
		t.Error("the upgrade of a design from the old form is refused")
	}
	if sameTemplates(old, design("nsdv", active, byManifest("m"), "nfdv2")) || sameTemplates(old, design("nsdv", active, byStore("other"), "nfdv")) {
		t.Error("an active design can be changed")
	}
	if sameTemplates(old, &v1alpha1.NetworkServiceDesignVersion{}) {
		t.Error("an active design can lose a template")
	}
}

func TestApplicationErrors(t *testing.T) {
	t.Parallel()
	ranged := func(r string) *v1alpha1.NetworkFunctionDefinitionVersion {
		d := definition("nfdv", preview, byManifest("m"))
		d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.HelmArtifactProfile.HelmPackageVersionRange = r
		return d
	}
	depends := func(p v1alpha1.DependsOnProfile) *v1alpha1.NetworkFunctionDefinitionVersion {
		d := definition("nfdv", preview, byManifest("m"), byManifest("m"))
		d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[1].DependsOnProfile = &p
		return d
	}
	apps := applicationsPath.String()
	for name, tc := range map[string]struct {
		reason string
		is     *v1alpha1.NetworkFunctionDefinitionVersion
		want   []string
	}{
		"Tilde":   {"a range", ranged("~1.0.0"), nil},
		"Exact":   {"one version", ranged("1.2.3-rc.1+build"), nil},
		"Or":      {"as Helm takes it", ranged(">= 1.0, < 2 || ^3.1"), nil},
		"NoRange": {"words", ranged("latest"), []string{apps + "[0].artifactProfile.helmArtifactProfile.helmPackageVersionRange: Invalid value: \"latest\": it is not a range of versions"}},
		"Order":   {"another one of the same", depends(v1alpha1.DependsOnProfile{InstallDependsOn: []string{"a"}, UninstallDependsOn: []string{"a"}, UpdateDependsOn: []string{"a"}}), nil},
		"Stray": {"each list", depends(v1alpha1.DependsOnProfile{InstallDependsOn: []string{"a", "z"}, UninstallDependsOn: []string{"b"}, UpdateDependsOn: []string{""}}), []string{
			apps + "[1].dependsOnProfile.installDependsOn[1]: Invalid value: \"z\": the definition has no such application",
			apps + "[1].dependsOnProfile.uninstallDependsOn[0]: Invalid value: \"b\": an application cannot wait for itself",
			apps + "[1].dependsOnProfile.updateDependsOn[0]: Invalid value: \"\": the definition has no such application",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			matches(t, tc.reason, tc.want, causes(invalid(tc.is, applicationErrors(tc.is))))
		})
	}
}

func TestVersionWebhook(t *testing.T) {
	t.Parallel()
	unsealed, whole, old := manifest("m", "chart:1"), sealed(manifest("m", "chart:1")), storeScoped(sealed(manifest("m", "chart:1")))
	missing := "References objects that do not exist: artifactmanifests/publisher/m. "
	manifestPath := "spec.networkFunctionTemplate.networkFunctionApplications[0].artifactProfile.artifactManifestRef.name: "
	wrong := definition("nfdv", active, byManifest("m"))
	wrong.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.HelmArtifactProfile.HelmPackageVersionRange = "any"
	withdrawn := wrong.DeepCopy()
	withdrawn.Spec.VersionState = deprecated
	var thirteen []v1alpha1.ArtifactSource
	for range 13 {
		thirteen = append(thirteen, byManifest("m"+string(rune('a'+len(thirteen)))))
	}
	for name, tc := range map[string]struct {
		reason       string
		was, is      *v1alpha1.NetworkFunctionDefinitionVersion
		cached, live []client.Object
		wrong        []string
		warnings     []string
	}{
		"Good":          {reason: "by the cache alone", is: definition("d", preview, byManifest("m")), cached: []client.Object{unsealed}},
		"Missing":       {reason: "it may come", is: definition("d", preview, byManifest("m"), byManifest("m")), warnings: []string{missing}},
		"I3JustCreated": {reason: "the cache lags behind", is: definition("d", active, byManifest("m")), live: []client.Object{whole}},
		"I3JustSealed":  {reason: "the cache lags behind", is: definition("d", active, byManifest("m")), cached: []client.Object{unsealed}, live: []client.Object{whole}},
		"I3JustGone":    {reason: "and was applied again since", is: definition("d", preview, byManifest("m")), cached: []client.Object{going(unsealed.DeepCopy())}, live: []client.Object{unsealed}},
		"Unsealed":      {reason: "really", is: definition("d", active, byManifest("m")), cached: []client.Object{unsealed}, live: []client.Object{unsealed}, wrong: []string{manifestPath}},
		"Going":         {reason: "really", is: definition("d", preview, byManifest("m")), live: []client.Object{going(unsealed.DeepCopy())}, wrong: []string{manifestPath + `Invalid value: "m": artifactmanifests/publisher/m is being deleted`}},
		"StoreScoped":   {reason: "references first, then the manifest", is: definition("d", active, byManifest("m")), live: []client.Object{old}, warnings: []string{"References manifests that are still StoreScoped: artifactmanifests/publisher/m. "}},
		"OldForm":       {reason: "still taken", is: definition("d", preview, byStore("acme")), live: []client.Object{store()}, warnings: []string{"artifactStoreRef is the old form, which protects every manifest of that store that lists the artifact: artifactstores/publisher/acme. Use artifactManifestRef."}},
		"Many":          {reason: "an answer has an end", is: definition("d", preview, thirteen...), warnings: []string{"References objects that do not exist: artifactmanifests/publisher/ma, artifactmanifests/publisher/mb, artifactmanifests/publisher/mc, artifactmanifests/publisher/md, artifactmanifests/publisher/me, artifactmanifests/publisher/mf, artifactmanifests/publisher/mg, artifactmanifests/publisher/mh, artifactmanifests/publisher/mi, artifactmanifests/publisher/mj and 3 more. "}},
		"Frozen":        {reason: "active means immutable", was: definition("d", active, byManifest("m")), is: definition("d", active, byManifest("m2")), live: []client.Object{sealed(manifest("m2"))}, wrong: []string{"spec.networkFunctionTemplate: Forbidden: cannot be changed because the version is Active"}},
		"FrozenToo":     {reason: "deprecated as well", was: definition("d", deprecated, byManifest("m")), is: definition("d", active, byManifest("m2")), live: []client.Object{sealed(manifest("m2"))}, wrong: []string{"spec.networkFunctionTemplate: Forbidden: cannot be changed because the version is Deprecated"}},
		"Upgrade":       {reason: "the exemption", was: definition("d", active, byStore("acme")), is: definition("d", active, byManifest("m")), live: []client.Object{old}, warnings: []string{"References manifests that are still StoreScoped"}},
		"Withdraw":      {reason: "what was wrong before webhooks can still be withdrawn", was: wrong, is: withdrawn, live: []client.Object{whole}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.cached, tc.live)
			v := definitionValidator(w.preflight)
			var ws []string
			var err error
			if tc.was == nil {
				ws, err = v.ValidateCreate(asked(t, false), tc.is)
			} else {
				ws, err = v.ValidateUpdate(asked(t, false), tc.was, tc.is)
			}
			matches(t, tc.reason, tc.wrong, causes(err))
			matches(t, tc.reason, tc.warnings, ws)
		})
	}
}

func TestDesignWebhook(t *testing.T) {
	t.Parallel()
	whole := sealed(manifest("m", "template:1"))
	at := "spec.resourceElementTemplates[0].configuration."
	for name, tc := range map[string]struct {
		reason  string
		was, is *v1alpha1.NetworkServiceDesignVersion
		live    []client.Object
		wrong   []string
	}{
		"Active":  {"all below is ready", nil, design("n", active, byManifest("m"), "d"), []client.Object{whole, definition("d", active, byManifest("m"))}, nil},
		"Preview": {"below an active design is not a preview", design("n", preview, byManifest("m"), "d"), design("n", active, byManifest("m"), "d"), []client.Object{whole, definition("d", preview, byManifest("m"))}, []string{at + "networkFunctionDefinitionVersionRef.name: Invalid value: \"d\": networkfunctiondefinitionversions/publisher/d is in Preview"}},
		"All":     {"all at once", nil, design("n", active, byManifest("m"), "d"), []client.Object{manifest("m")}, []string{at + "artifactProfile.artifactManifestRef.name: ", at + "networkFunctionDefinitionVersionRef.name: "}},
		"Frozen":  {"active means immutable", design("n", active, byManifest("m"), "d"), design("n", active, byManifest("m"), "d2"), []client.Object{whole, definition("d2", active, byManifest("m"))}, []string{"spec.resourceElementTemplates: Forbidden: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, tc.live)
			v := designValidator(w.preflight)
			var err error
			if tc.was == nil {
				_, err = v.ValidateCreate(asked(t, false), tc.is)
			} else {
				_, err = v.ValidateUpdate(asked(t, false), tc.was, tc.is)
			}
			matches(t, tc.reason, tc.wrong, causes(err))
		})
	}
}
