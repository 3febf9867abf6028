package integration

import (
	"slices"
	"testing"

	"github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// The roles for users allow exactly what the table says.
func TestRolesOfPeople(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	roles := []string{"nfo-view", "nfo-edit", "nfo-admin", "nfo-publisher"}
	for _, role := range roles {
		s.create(&rbacv1.RoleBinding{
			ObjectMeta: s.meta(role),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: role}},
		})
	}
	type testCase struct {
		verb, kind string
		may        string // for view, edit, admin and publisher
	}
	tests := []testCase{
		{"get", v1alpha1.KindTombstone, "y---"},
		{"get", v1alpha1.KindArtifactManifest, "y--y"},
		{"get", v1alpha1.KindArtifactStore, "y--y"},
		{"list", v1alpha1.KindArtifactManifest, "y---"},
		{"list", v1alpha1.KindArtifactStore, "y---"},
		{"create", v1alpha1.KindArtifactManifest, "-y--"},
		{"delete", v1alpha1.KindDefinition, "-y--"},
		{"create", v1alpha1.KindArtifact, "-y--"},
		{"patch", v1alpha1.KindArtifact, "-y--"}, // for publish --mirror --keep, and annotations
		{"update", v1alpha1.KindArtifact, "----"},
		{"use", v1alpha1.KindDesign, "-y--"},
		{"create", v1alpha1.KindArtifactStore, "--y-"},
		{"patch", v1alpha1.KindTombstone, "--y-"},
		{"pull", v1alpha1.KindArtifactManifest, "y--y"},
		{"push", v1alpha1.KindArtifactManifest, "-y-y"},
		{"purge", v1alpha1.KindArtifactStore, "----"},
		{"push", v1alpha1.KindArtifactStore, "----"},
		{"pull", v1alpha1.KindArtifactStore, "----"},
		{"create", v1alpha1.KindTombstone, "----"},
		{"restore", v1alpha1.KindTombstone, "----"},
		{"update", v1alpha1.KindTombstone, "----"},
	}
	may := func(role, verb, kind string) bool {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: s.ns, Verb: verb, Group: v1alpha1.GroupVersion.Group, Resource: v1alpha1.Resource(kind),
		}}}
		s.Expect(s.as(role).Create(t.Context(), review)).To(gomega.Succeed())
		return review.Status.Allowed
	}
	for i, role := range roles {
		// The API server learns of a RoleBinding only some time later. Until then every request is denied.
		s.Eventually(func() bool {
			return slices.ContainsFunc(tests, func(tc testCase) bool { return tc.may[i] == 'y' && may(role, tc.verb, tc.kind) })
		}).Should(gomega.BeTrue(), "%s may do something", role)
		for _, tc := range tests {
			s.Expect(may(role, tc.verb, tc.kind)).To(gomega.Equal(tc.may[i] == 'y'), "%s may %s a %s", role, tc.verb, tc.kind)
		}
	}
}
