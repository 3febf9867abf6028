package access

import (
	"net/http"
	"slices"
	"strings"

	"github.com/distribution/distribution/v3/registry/auth"
	"github.com/opencontainers/go-digest"
)

// want is what a request wants to do with one repository, or with the list of all repositories if repository is "".
type want struct {
	repository   string
	pushes       bool
	deletes      bool
	putsManifest bool
	tagOrDigest  string // of the manifest that is pushed
	unknown      bool   // an action that this package does not know
}

func (w want) pullsOnly() bool {
	return w.repository != "" && !w.pushes && !w.deletes && !w.unknown
}

// wanted groups what distribution says a request does by repository, beginning with the request's own repository. pulls
// is true if the request only pulls, or only checks whether the registry exists.
func wanted(r *http.Request, access []auth.Access) (all []want, pulls bool) {
	for _, a := range access {
		name := a.Name
		if a.Type != "repository" {
			name = ""
		}
		i := slices.IndexFunc(all, func(w want) bool { return w.repository == name })
		if i < 0 {
			i = len(all)
			all = append(all, want{repository: name})
		}
		switch actionOf(r, a) {
		case "pull":
		case "push":
			all[i].pushes = true
		case "delete":
			all[i].deletes = true
		default:
			all[i].unknown = true
		}
	}
	if len(all) > 0 && all[0].pushes && r.Method == http.MethodPut {
		if ref, ok := strings.CutPrefix(r.URL.Path, "/v2/"+all[0].repository+"/manifests/"); ok {
			all[0].tagOrDigest, all[0].putsManifest = ref, true
		}
	}
	return all, !slices.ContainsFunc(all, func(w want) bool { return !w.pullsOnly() })
}

// actionOf returns the action that distribution states, except for cancelling an upload: a client that may push may
// cancel it, because this deletes nothing that was pushed.
func actionOf(r *http.Request, a auth.Access) string {
	if a.Action == "delete" && strings.HasPrefix(r.URL.Path, "/v2/"+a.Name+"/blobs/uploads/") {
		return "push"
	}
	return a.Action
}

// tag returns the tag that is pushed, or "" for a digest and if no manifest is pushed.
func (w want) tag() string {
	if digest.Digest(w.tagOrDigest).Validate() == nil {
		return ""
	}
	return w.tagOrDigest
}

// withoutMount turns an upload that would mount a blob from another repository into an ordinary upload, as registries
// do if they cannot mount. Distribution has already parsed the form, and reads it again later.
func withoutMount(r *http.Request) {
	r.Form.Del("mount")
	r.Form.Del("from")
}
