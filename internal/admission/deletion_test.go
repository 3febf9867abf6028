package admission

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/reference"
)

const attached = "The resource 'artifactmanifests/publisher/m' has some resources attached to it. The dependent resources are: "

// next ends each refusal that names holders.
const next = ". Delete these objects first, or change what they reference. To see everything that depends on it: kubectl nfo why "

func TestDeletable(t *testing.T) {
	t.Parallel()
	m := manifest("m", "chart:1")
	holder := definition("nfdv", v1alpha1.VersionPreview, byManifest("m"))
	second := definition("second", v1alpha1.VersionActive, byManifest("m"))
	unlike := definition("unlike", v1alpha1.VersionPreview, byManifest("m2"))
	nsdv := design("nsdv", v1alpha1.VersionActive, byManifest("other"), "other")
	abroad, near := site("edge", "abroad", "publisher", "nsdv"), site("publisher", "near", "", "nsdv")
	publisher := []client.Object{home()}
	with := func(objects ...client.Object) []client.Object { return append(objects, publisher...) }
	tests := map[string]struct {
		reason       string
		subject      client.Object
		cached, live []client.Object
		want         string
	}{
		"Free":           {"nothing names it", m, nil, with(), ""},
		"Similar":        {"names compare whole", m, with(unlike), with(unlike), ""},
		"I7Held":         {"the refusal names the holder and what it uses", m, with(holder), with(holder), attached + `"networkfunctiondefinitionversions/publisher/nfdv" (artifact chart:~1.0.0, application a)` + next + "am/m -n publisher"},
		"I7HeldTwice":    {"all holders, sorted", m, with(second, holder), with(second, holder), attached + `"networkfunctiondefinitionversions/publisher/nfdv" (artifact chart:~1.0.0, application a), "networkfunctiondefinitionversions/publisher/second" (artifact chart:~1.0.0, application a)` + next + "am/m -n publisher"},
		"Going":          {"the finalizer waits for a holder that is going", m, with(going(holder.DeepCopy())), with(), ""},
		"OneGoing":       {"and it is not named", m, with(going(holder.DeepCopy()), second), with(second), attached + `"networkfunctiondefinitionversions/publisher/second" (artifact chart:~1.0.0, application a)` + next + "am/m -n publisher"},
		"I3Gone":         {"the cache lags behind anyone who deletes holders first", m, with(holder), with(), ""},
		"I3JustGoing":    {"as long as holders have finalizers", m, with(holder), with(going(holder.DeepCopy())), ""},
		"I3Changed":      {"the holder names something else now", m, with(holder), with(definition("nfdv", v1alpha1.VersionPreview, byManifest("m2"))), ""},
		"I3OneGone":      {"the next holder stands", m, with(holder, second), with(second), attached + `"networkfunctiondefinitionversions/publisher/second" (artifact chart:~1.0.0, application a)` + next + "am/m -n publisher"},
		"StoreScoped":    {"the form before is never blocked", storeScoped(manifest("m", "chart:1")), with(holder), with(holder), ""},
		"NamespaceGoes":  {"in any order", m, with(holder), []client.Object{holder, going(home())}, ""},
		"HolderAbroad":   {"it stays when the namespace goes", nsdv, with(abroad, near), []client.Object{abroad, near, going(home())}, `The resource 'networkservicedesignversions/publisher/nsdv' has some resources attached to it. The dependent resources are: "sitenetworkservices/edge/abroad"` + next + "nsdv/nsdv -n publisher"},
		"HoldersNearFar": {"both are named otherwise", nsdv, with(abroad, near), with(abroad, near), `The resource 'networkservicedesignversions/publisher/nsdv' has some resources attached to it. The dependent resources are: "sitenetworkservices/edge/abroad", "sitenetworkservices/publisher/near"` + next + "nsdv/nsdv -n publisher"},
	}
	for name, tc := range tests {
		for _, dryRun := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, tc.cached, tc.live)
				_, err := manifestOrDesign(asked(t, dryRun), w, tc.subject)
				if tc.want == "" {
					if err != nil {
						t.Errorf("%s: refused: %v", tc.reason, err)
					}
				} else if diff := cmp.Diff(tc.want, statusOf(err).Message); diff != "" || statusOf(err).Code != http.StatusConflict || !apierrors.IsConflict(err) {
					t.Errorf("%s: code %d, -want +got\n%s", tc.reason, statusOf(err).Code, diff)
				}
				var want []string
				if tc.want != "" && !dryRun {
					want = []string{"Warning DeletionRefused " + tc.want}
				}
				if diff := cmp.Diff(want, w.reported()); diff != "" {
					t.Errorf("%s, dry run %t: events -want +got\n%s", tc.reason, dryRun, diff)
				}
			})
		}
	}
}

func manifestOrDesign(ctx context.Context, w world, o client.Object) ([]string, error) {
	if m, ok := o.(*v1alpha1.ArtifactManifest); ok {
		return manifestValidator(w.preflight).ValidateDelete(ctx, m)
	}
	return designValidator(w.preflight).ValidateDelete(ctx, o.(*v1alpha1.NetworkServiceDesignVersion))
}

func statusOf(err error) metav1.Status {
	var s apierrors.APIStatus
	if errors.As(err, &s) {
		return s.Status()
	}
	return metav1.Status{}
}

func TestI12WhatIsGoingMayGo(t *testing.T) {
	t.Parallel()
	m, holder := going(manifest("m", "chart:1")), definition("nfdv", v1alpha1.VersionPreview, byManifest("m"))
	w := newWorld(t, []client.Object{holder}, []client.Object{holder, home()})
	w.synced = func(context.Context) bool { t.Error("nothing need be known"); return false }
	if _, err := manifestValidator(w.preflight).ValidateDelete(asked(t, false), m); err != nil {
		t.Errorf("the second deletion is refused: %v", err)
	}
}

func TestI2ColdCacheRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil)
	w.synced = func(context.Context) bool { return false }
	_, deletion := manifestValidator(w.preflight).ValidateDelete(asked(t, false), manifest("m"))
	_, creation := manifestValidator(w.preflight).ValidateCreate(asked(t, false), manifest("m"))
	for request, err := range map[string]error{"deletion": deletion, "creation": creation} {
		s := statusOf(err)
		if s.Code != http.StatusServiceUnavailable || s.Details == nil || s.Details.RetryAfterSeconds != 1 || !strings.Contains(s.Message, "has not read all objects yet") {
			t.Errorf("a %s on a cold cache is answered %+v", request, s)
		}
	}
	if got := w.reported(); got != nil {
		t.Errorf("it was reported: %v", got)
	}
}

// A failed read refuses the deletion, and the answer never has the status of the webhook's own read.
func TestI2AFailedReadRefuses(t *testing.T) {
	t.Parallel()
	holder := definition("nfdv", v1alpha1.VersionPreview, byManifest("m"))
	denied := apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("x").GroupResource(), "x", errors.New("not you"))
	list := interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return denied }}
	get := interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return denied
	}}
	holderUnread := interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, k client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if k.Name == "nfdv" {
			return denied
		}
		return c.Get(ctx, k, o, opts...)
	}}
	for name, tc := range map[string]struct {
		reason       string
		cached, live interceptor.Funcs
	}{
		"List":      {"the holders are not known", list, interceptor.Funcs{}},
		"Namespace": {"whether it is going is not known", interceptor.Funcs{}, get},
		"Holder":    {"whether it still stands is not known", interceptor.Funcs{}, holderUnread},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := worldOf(api(t, tc.cached, holder), api(t, tc.live, holder, home()))
			_, err := manifestValidator(w.preflight).ValidateDelete(asked(t, false), manifest("m", "chart:1"))
			if s := statusOf(err); s.Code != http.StatusServiceUnavailable || s.Reason != metav1.StatusReasonServiceUnavailable {
				t.Errorf("%s: answered %+v", tc.reason, s)
			}
		})
	}
}

func TestMostDeletionsCostNoRequest(t *testing.T) {
	t.Parallel()
	w := worldOf(api(t, interceptor.Funcs{}), api(t, interceptor.Funcs{Get: func(_ context.Context, _ client.WithWatch, k client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
		t.Errorf("%s was read", k)
		return nil
	}}))
	if _, err := manifestValidator(w.preflight).ValidateDelete(asked(t, false), manifest("m")); err != nil {
		t.Error(err)
	}
}

func TestNoteFits(t *testing.T) {
	t.Parallel()
	for shift := range 3 { // one of the shifts would split a character of 3 bytes
		var objects []client.Object
		for range 10 {
			d := definition(strings.Repeat("n", 100)+string(rune('a'+len(objects))), v1alpha1.VersionPreview, byManifest("m"))
			d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].Name = strings.Repeat("x", shift) + strings.Repeat("€", 500)
			objects = append(objects, d)
		}
		w := newWorld(t, objects, append(objects, home()))
		_, err := manifestValidator(w.preflight).ValidateDelete(asked(t, false), manifest("m"))
		if len(statusOf(err).Message) < maxNote {
			t.Fatalf("the refusal is short: %v", err)
		}
		reported := w.reported()
		if len(reported) != 1 || len(reported[0])-len("Warning DeletionRefused ") > maxNote || !utf8.ValidString(reported[0]) || !strings.HasSuffix(reported[0], "€...") {
			t.Errorf("the event is %q", reported)
		}
	}
}

func TestStoreLeavesTombstones(t *testing.T) {
	t.Parallel()
	store := func(url string) *v1alpha1.ArtifactStore {
		s := &v1alpha1.ArtifactStore{ObjectMeta: meta("acme")}
		s.Spec.Registry.URL = url
		return s
	}
	grave := func(name, url string, states ...v1alpha1.TombstoneState) *v1alpha1.Tombstone {
		ts := &v1alpha1.Tombstone{ObjectMeta: meta(name)}
		ts.Spec.RegistryURL = url
		for i, s := range states {
			a := v1alpha1.TombstoneArtifact{Repository: "acme/m/a", Tag: string(rune('a' + i))}
			ts.Spec.Artifacts = append(ts.Spec.Artifacts, a)
			ts.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: a.Repository, Tag: a.Tag, State: s})
		}
		return ts
	}
	here := "https://registry.example.com/acme"
	measured := store(here)
	measured.Status.Usage = &v1alpha1.StoreUsage{ReclaimableBytes: 4096}
	waits := ". They wait for a store of the same URL in this namespace; until there is one, nothing of them is restored or purged."
	for name, tc := range map[string]struct {
		reason string
		store  *v1alpha1.ArtifactStore
		graves []client.Object
		want   []string
	}{
		"None":     {"nothing is left behind", measured, nil, nil},
		"Two":      {"the same place, however it is spelled", store(here), []client.Object{grave("a", here, v1alpha1.TombstoneUntagged), grave("b", "https://REGISTRY.example.com:443/acme/", v1alpha1.TombstonePending)}, []string{"Tombstones left behind: 2" + waits}},
		"Measured": {"how much they keep", measured, []client.Object{grave("a", here, v1alpha1.TombstoneUntagged)}, []string{"Tombstones left behind: 1 (4096 bytes reclaimable when last measured)" + waits}},
		"Elsewhere": {"another place, another namespace, or all used up", measured, []client.Object{
			grave("a", here+"/more", v1alpha1.TombstoneUntagged), grave("b", here, v1alpha1.TombstoneRestored, v1alpha1.TombstonePurged),
			func() client.Object {
				ts := grave("a", here, v1alpha1.TombstoneUntagged)
				ts.Namespace = "other"
				return ts
			}(),
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.graves, nil)
			ws, err := storeValidator(w.preflight, &access{}).ValidateDelete(asked(t, false), tc.store)
			if err != nil {
				t.Fatalf("%s: refused: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, []string(ws)); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRefusalBeginsWithTheConditionsWords(t *testing.T) {
	t.Parallel()
	m, holder := manifest("m", "chart:1"), definition("nfdv", v1alpha1.VersionPreview, byManifest("m"))
	w := newWorld(t, []client.Object{holder}, []client.Object{holder, home()})
	held, err := w.holders.Cached(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	_, err = manifestValidator(w.preflight).ValidateDelete(asked(t, false), m)
	if says, want := statusOf(err).Message, reference.Refusal(reference.Self(m), held); !strings.HasPrefix(says, want) {
		t.Errorf("the pre-flight says %q, the condition %q", says, want)
	}
}

// Each refusal is counted and logged in one printable line.
func TestRefusalsAreInTheJournal(t *testing.T) {
	t.Parallel()
	j, err := journal.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	m, holder := manifest("m", "chart:1"), definition("nfdv", v1alpha1.VersionPreview, byManifest("m"))
	w := newWorld(t, []client.Object{holder}, []client.Object{holder, home()})
	v := printable[*v1alpha1.ArtifactManifest]{manifestValidator(w.preflight), j}
	var out bytes.Buffer
	ctx := log.IntoContext(asked(t, true), logr.FromSlogHandler(slog.NewJSONHandler(&out, nil)))
	_, refused := v.ValidateDelete(ctx, m)
	_, invalid := v.ValidateUpdate(ctx, m, sealed(manifest("m", "chart:1"))) // its artifact has not been seen
	if _, err := v.ValidateDelete(ctx, manifest("free", "chart:1")); err != nil || refused == nil || invalid == nil {
		t.Fatalf("what is free is refused: %v; what is held: %v; what is wrong: %v", err, refused, invalid)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("two refusals are %d lines: %s", len(lines), out.String())
	}
	for _, want := range []string{`"event":"Refused"`, `"kind":"ArtifactManifest"`, `"objectNamespace":"publisher"`, `"objectName":"m"`, `"operation":"DELETE"`, `"reason":"Conflict"`, `"dryRun":true`} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("%s is not in %s", want, lines[0])
		}
	}
	if n := testutil.CollectAndCount(j, "nfo_refusals_total"); n != 2 {
		t.Errorf("%d kinds of refusals are counted", n)
	}
}

func TestUnwatchedNamespaces(t *testing.T) {
	t.Parallel()
	st := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "acme"}}
	st.Spec.Registry.URL = "https://registry.example.com/acme"
	for name, tc := range map[string]struct {
		reason  string
		watched reference.Watched
		creates bool
		deletes bool
	}{
		"All":  {"none named means all", nil, true, true},
		"This": {"it is one of them", reference.Watched{"a", "b"}, true, true},
		"Else": {"nothing would manage it", reference.Watched{"a", "c"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, nil)
			w.watched = tc.watched
			v := storeValidator(w.preflight, &access{})
			_, err := v.ValidateCreate(asked(t, false), st.DeepCopy())
			if (err == nil) != tc.creates || (err != nil && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "in a watched namespace (a, c)") || !strings.Contains(err.Error(), "watchNamespaces"))) {
				t.Errorf("%s: creating it: %v", tc.reason, err)
			}
			bare := st.DeepCopy()
			if _, err := v.ValidateDelete(asked(t, false), bare); err != nil {
				t.Errorf("%s: without a finalizer nothing keeps it: %v", tc.reason, err)
			}
			bare.Finalizers = []string{v1alpha1.Finalizer}
			_, err = v.ValidateDelete(asked(t, false), bare)
			if (err == nil) != tc.deletes || (err != nil && (!apierrors.IsConflict(err) || !strings.Contains(err.Error(), v1alpha1.Finalizer))) {
				t.Errorf("%s: deleting it: %v", tc.reason, err)
			}
		})
	}
}
