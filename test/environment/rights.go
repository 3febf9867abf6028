package environment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// right is one verb on one resource, as a rule of a role grants it.
type right struct{ group, resource, verb string }

func (r right) String() string { return r.verb + " " + strings.Trim(r.resource+"."+r.group, ".") }

// rights records which rights a user has used, and which ones the API server has denied.
type rights struct {
	mu     sync.Mutex
	used   map[right]bool
	denied map[string]bool
}

func newRights() *rights { return &rights{used: map[right]bool{}, denied: map[string]bool{}} }

// record is a transport that records the right that each request needs. If the user's roles lack the
// right, the API server's answer contains "cannot"; answers of webhooks that refuse a request do not.
func (r *rights) record(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err != nil {
			return resp, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		one := rightOf(req)
		if resp.StatusCode != http.StatusForbidden {
			r.used[one] = true
			if one.verb == "watch" { // an informer falls back to list if the server does not support streaming lists
				r.used[right{one.group, one.resource, "list"}] = true
			}
			if one.verb == "patch" && resp.StatusCode == http.StatusCreated { // server-side apply created the object
				r.used[right{one.group, one.resource, "create"}] = true
			}
			return resp, nil
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		resp.Body = io.NopCloser(bytes.NewReader(text))
		if strings.Contains(string(text), " cannot ") {
			r.denied[one.String()] = true
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// rightOf returns the right that a request to the API server needs. Its path is /api/v1/... or
// /apis/GROUP/VERSION/..., followed by [namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE]].
func rightOf(req *http.Request) right {
	var r right
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if parts[0] == "apis" && len(parts) > 1 {
		r.group, parts = parts[1], parts[1:]
	}
	parts = parts[min(2, len(parts)):]
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	if len(parts) > 0 {
		r.resource = parts[0]
	}
	if len(parts) > 2 {
		r.resource += "/" + parts[2]
	}
	named := len(parts) > 1
	switch {
	case req.Method == http.MethodGet && req.URL.Query().Has("watch"):
		r.verb = "watch"
	case req.Method == http.MethodGet && !named:
		r.verb = "list"
	case req.Method == http.MethodDelete && !named:
		r.verb = "deletecollection"
	default:
		r.verb = map[string]string{http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[req.Method]
	}
	return r
}

// LeastPrivilege compares the generated roles of a user, ManagerUser or RemoverUser, with all requests of this user so
// far. A right that is missing and a right that no request needs are errors. Call it at the end of a run of all tests.
func (e *Environment) LeastPrivilege(user string) error {
	roles := map[string][]string{ManagerUser: {"role.yaml", "watched.yaml"}, RemoverUser: {"remover.yaml"}}[user]
	granted := map[right]bool{}
	for _, role := range roles {
		if err := grantedBy(role, granted); err != nil {
			return err
		}
	}
	delete(granted, right{rbacv1.GroupName, "clusterroles", "bind"}) // creating a RoleBinding uses this right
	r := e.rights[user]
	r.mu.Lock()
	defer r.mu.Unlock()
	var wrong []error
	for one := range granted {
		if !r.used[one] {
			wrong = append(wrong, fmt.Errorf("%s allows to %s, and nothing does so", strings.Join(roles, " or "), one))
		}
	}
	optional := map[right]bool{}
	for _, role := range []string{"workloads.yaml", "mirror.yaml"} {
		if err := grantedBy(role, optional); err != nil {
			return err
		}
	}
	for text := range r.denied {
		if slices.ContainsFunc(slices.Collect(maps.Keys(optional)), func(o right) bool { return o.String() == text }) {
			continue
		}
		wrong = append(wrong, fmt.Errorf("%s does not allow to %s, and something tried", strings.Join(roles, " or "), text))
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}

// grantedBy adds to all the rights of the ClusterRole and Role in one generated file of config/rbac.
func grantedBy(file string, all map[right]bool) error {
	path := filepath.Join(Root(), "config", "rbac", file)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	for d := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		var role rbacv1.ClusterRole
		if err := d.Decode(&role); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		addRights(all, role.Rules)
	}
}

func addRights(to map[right]bool, rules []rbacv1.PolicyRule) {
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					to[right{group, resource, verb}] = true
				}
			}
		}
	}
}
