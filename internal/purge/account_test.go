package purge

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// asked is an API server with one user.
type asked struct {
	user    string
	allowed bool
	objects []client.Object
	// The errors that the API server answers with; nil for none.
	self, access, account error
	// attributes are the attributes of the access review; nil if none was created.
	attributes *authorizationv1.ResourceAttributes
}

func (a *asked) client(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(a.objects...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
			switch o := o.(type) {
			case *authenticationv1.SelfSubjectReview:
				o.Status.UserInfo.Username = a.user
				return a.self
			case *authorizationv1.SelfSubjectAccessReview:
				a.attributes, o.Status.Allowed = o.Spec.ResourceAttributes, a.allowed
				return a.access
			}
			t.Errorf("it creates a %T", o)
			return nil
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, ok := o.(*corev1.ServiceAccount); ok && a.account != nil {
				return a.account
			}
			return c.Get(ctx, key, o, opts...)
		},
	}).Build()
}

func TestImpersonation(t *testing.T) {
	t.Parallel()
	const account = "system:serviceaccount:publisher:acme-purge"
	exists := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme-purge"}}
	forbidden := apierrors.NewForbidden(schema.GroupResource{}, "x", errors.New("not you"))
	broken := errors.New("connection refused")
	for name, tc := range map[string]struct {
		reason string
		asked  asked
		want   string
		err    error
		says   []string
		asks   bool
	}{
		"Admin":      {"who may, does", asked{user: "admin", allowed: true, objects: []client.Object{exists}}, account, nil, nil, true},
		"Job":        {"it is that account", asked{user: account}, "", nil, nil, false},
		"OwnAccount": {"the policy lets each purge account of the namespace write", asked{user: "system:serviceaccount:publisher:nightly-purge"}, "", nil, nil, false},
		"Elsewhere":  {"but none of another namespace", asked{user: "system:serviceaccount:other:acme-purge", allowed: true, objects: []client.Object{exists}}, account, nil, nil, true},
		"Toolbox":    {"a pod that is not a purge's", asked{user: "system:serviceaccount:publisher:toolbox", allowed: true, objects: []client.Object{exists}}, account, nil, nil, true},
		"MayNot": {"the missing right, and what works without it", asked{user: "jane", objects: []client.Object{exists, aStore()}}, "", ErrAccount, []string{
			`user "jane" lacks the verb impersonate on serviceaccounts "acme-purge" in the namespace "publisher"`,
			"(kubectl create job --from=cronjob/acme-purge purge-now -n publisher)", "--dry-run"}, true},
		"NoAccount": {"the manager has not made it", asked{user: "admin", allowed: true, objects: []client.Object{aStore()}}, "", ErrAccount, []string{
			"ServiceAccount publisher/acme-purge does not exist", "--purger-image", "nfo check", "kubectl describe artifactstore -n publisher acme"}, true},
		"NoStore":       {"its name may be mistyped", asked{user: "admin", allowed: true}, "", ErrRefused, []string{"no store publisher/acme"}, true},
		"AccountUnread": {"the right to impersonate is enough", asked{user: "jane", allowed: true, account: forbidden}, account, nil, nil, true},
		"NoReviews":     {"the cluster does not let users ask who they are: as before there were such questions", asked{self: forbidden}, "", nil, nil, false},
		"SelfFails":     {"it is not known who this is", asked{self: broken}, "", broken, []string{"asking the API server for the user's name"}, false},
		"AccessFails":   {"it is not known what is allowed", asked{user: "jane", access: broken}, "", broken, []string{`asking whether "jane" may impersonate ` + account}, true},
		"AccountFails":  {"it is not known whether it exists", asked{user: "jane", allowed: true, account: broken}, "", broken, []string{"reading ServiceAccount publisher/acme-purge"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Impersonation(t.Context(), tc.asked.client(t), storeKey)
			if got != tc.want || !errors.Is(err, tc.err) || (err != nil) != (tc.err != nil) {
				t.Errorf("%s: %q, %v; want %q, %v", tc.reason, got, err, tc.want, tc.err)
			}
			for _, says := range tc.says {
				if err != nil && !strings.Contains(err.Error(), says) {
					t.Errorf("%s: the error is %q and does not say %q", tc.reason, err, says)
				}
			}
			var want *authorizationv1.ResourceAttributes
			if tc.asks {
				want = &authorizationv1.ResourceAttributes{Verb: "impersonate", Version: "v1", Resource: "serviceaccounts", Namespace: "publisher", Name: "acme-purge"}
			}
			if diff := cmp.Diff(want, tc.asked.attributes); diff != "" {
				t.Errorf("%s: asked -want +got\n%s", tc.reason, diff)
			}
		})
	}
}
