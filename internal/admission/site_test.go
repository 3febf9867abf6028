package admission

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// judge answers every review and records it.
type judge struct {
	allowed bool
	err     error
	asked   []authorizationv1.SubjectAccessReviewSpec
}

func (j *judge) access(t *testing.T) *access {
	t.Helper()
	return &access{reviews: api(t, interceptor.Funcs{Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
		r := o.(*authorizationv1.SubjectAccessReview)
		j.asked = append(j.asked, r.Spec)
		r.Status.Allowed = j.allowed
		return j.err
	}})}
}

func TestSite(t *testing.T) {
	t.Parallel()
	nsdv := design("nsdv", active, byManifest("m"), "d")
	withdrawn := design("nsdv", deprecated, byManifest("m"), "d")
	at := "spec.networkServiceDesignVersionRef.name: Invalid value: \"nsdv\": networkservicedesignversions/publisher/nsdv "
	none := "References objects that do not exist: networkservicedesignversions/publisher/nsdv. "
	denied := `sitenetworkservices.nfo.dev "edge-1" is forbidden: user "jane" cannot use resource "networkservicedesignversions" in API group "nfo.dev" in the namespace "publisher"; grant the verb "use" on networkservicedesignversions/publisher/nsdv`
	near, abroad := site("publisher", "edge-1", "", "nsdv"), site("edge", "edge-1", "publisher", "nsdv")
	for name, tc := range map[string]struct {
		reason       string
		judge        judge
		was, is      *v1alpha1.SiteNetworkService
		cached, live []client.Object
		asked        int
		wrong        []string
		warnings     []string
	}{
		"Home":         {reason: "no right is needed", is: near, cached: []client.Object{nsdv}},
		"Abroad":       {reason: "with the right", judge: judge{allowed: true}, is: abroad, cached: []client.Object{nsdv}, asked: 1},
		"Denied":       {reason: "without", is: abroad, cached: []client.Object{nsdv}, asked: 1, wrong: []string{denied}},
		"DeniedBlind":  {reason: "who has no right learns nothing of the design", is: abroad, asked: 1, wrong: []string{denied}},
		"I2Unknown":    {reason: "nobody can say", judge: judge{allowed: true, err: errors.New("down")}, is: abroad, cached: []client.Object{nsdv}, asked: 1, wrong: []string{`the request cannot be checked now: asking whether user "jane" has the verb "use" on networkservicedesignversions/publisher/nsdv: down`}},
		"Same":         {reason: "spelled out", was: near, is: site("publisher", "edge-1", "publisher", "nsdv")},
		"Changed":      {reason: "another version needs the right again", judge: judge{allowed: true}, was: site("edge", "edge-1", "publisher", "nsdv0"), is: abroad, cached: []client.Object{nsdv}, asked: 1},
		"GoingHome":    {reason: "what goes may name what it likes at home", was: going(near.DeepCopy()), is: going(site("publisher", "edge-1", "", "nsdv0")), cached: []client.Object{nsdv}},
		"GoingAway":    {reason: "what goes must not take hold of another namespace's design", was: going(site("edge", "edge-1", "", "own")), is: going(abroad.DeepCopy()), cached: []client.Object{nsdv}, asked: 1, wrong: []string{denied}},
		"Missing":      {reason: "it may come", is: near, warnings: []string{none}},
		"Deprecated":   {reason: "no new deployments", is: near, cached: []client.Object{withdrawn}, live: []client.Object{withdrawn}, wrong: []string{at + "is Deprecated and takes no new deployments"}},
		"I3Reactivate": {reason: "the cache lags behind", is: near, cached: []client.Object{withdrawn}, live: []client.Object{nsdv}},
		"Going":        {reason: "nothing new is built on what goes", is: near, live: []client.Object{going(nsdv.DeepCopy())}, wrong: []string{at + "is being deleted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.cached, tc.live)
			v := siteValidator(w.preflight, tc.judge.access(t))
			var ws []string
			var err error
			if tc.was == nil {
				ws, err = v.ValidateCreate(asked(t, false), tc.is)
			} else {
				ws, err = v.ValidateUpdate(asked(t, false), tc.was, tc.is)
			}
			matches(t, tc.reason, tc.wrong, causes(err))
			matches(t, tc.reason, tc.warnings, ws)
			if len(tc.judge.asked) != tc.asked {
				t.Errorf("%s: asked %d times", tc.reason, len(tc.judge.asked))
			}
		})
	}
}

func TestReviewIsOfTheUser(t *testing.T) {
	t.Parallel()
	var j judge
	w := newWorld(t, nil, nil)
	_, err := siteValidator(w.preflight, j.access(t)).ValidateCreate(asked(t, false), site("edge", "edge-1", "publisher", "nsdv"))
	if statusOf(err).Code != http.StatusForbidden {
		t.Errorf("answered %v", err)
	}
	want := []authorizationv1.SubjectAccessReviewSpec{{
		User: "jane", UID: "7", Groups: []string{"operators"}, Extra: map[string]authorizationv1.ExtraValue{"scopes": {"a", "b"}},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: "publisher", Verb: "use", Group: "nfo.dev", Version: "v1alpha1", Resource: "networkservicedesignversions", Name: "nsdv",
		},
	}}
	if diff := cmp.Diff(want, j.asked); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
