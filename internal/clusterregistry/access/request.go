package access

import (
	"net/http"
	"slices"
	"strings"

	"github.com/distribution/distribution/v3/registry/auth"
	"github.com/opencontainers/go-digest"
)

// want is what a request wants of one repository; of the list of all repositories where repository is "".
type want struct {
	repository   string
	pushes       bool
	deletes      bool
	putsManifest bool
	tagOrDigest  string // of the manifest that is put
	unknown      bool   // an action that is not known here
}

func (w want) pullsOnly() bool {
	return w.repository != "" && !w.pushes && !w.deletes && !w.unknown
}

// wanted sorts what distribution says that a request does by repository, the request's own first. pulls is true if it
// only pulls, or does nothing but ask whether the registry is there.
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

// actionOf is what distribution says that a request does, but for the end of an upload that has not ended: who may push may
// cancel it, since it deletes nothing that was pushed.
func actionOf(r *http.Request, a auth.Access) string {
	if a.Action == "delete" && strings.HasPrefix(r.URL.Path, "/v2/"+a.Name+"/blobs/uploads/") {
		return "push"
	}
	return a.Action
}

// tag is the tag that is put; "" for a digest, and where no manifest is put.
func (w want) tag() string {
	if digest.Digest(w.tagOrDigest).Validate() == nil {
		return ""
	}
	return w.tagOrDigest
}

// withoutMount makes an ordinary upload of one that would take a blob from another repository, as registries do where
// that cannot be done. Distribution has parsed the form already, and reads it again later.
func withoutMount(r *http.Request) {
	r.Form.Del("mount")
	r.Form.Del("from")
}
