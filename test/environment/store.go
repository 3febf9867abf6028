package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// put and txn are what etcd's gateway takes: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/
type put struct {
	RequestPut struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	} `json:"requestPut"`
}

type txn struct {
	Success []put `json:"success"`
}

// Put stores at most 128 objects of the product by writing them to etcd, which is many times faster than creating them.
// Nothing validates or defaults the objects: they must have every field that the API server would set, such as a UID.
func (e *Environment) Put(ctx context.Context, objects ...client.Object) error {
	etcd, err := os.ReadFile(filepath.Join(e.dir, "etcd.url"))
	if err != nil {
		return fmt.Errorf("finding etcd: %w", err)
	}
	var t txn
	for _, o := range objects {
		kind, err := apiutil.GVKForObject(o, e.Client.Scheme())
		if err != nil {
			return err
		}
		o.GetObjectKind().SetGroupVersionKind(kind)
		var p put
		p.RequestPut.Key = []byte(path.Join("/registry", kind.Group, v1alpha1.Resource(kind.Kind), o.GetNamespace(), o.GetName()))
		if p.RequestPut.Value, err = json.Marshal(o); err != nil {
			return err
		}
		t.Success = append(t.Success, p)
	}
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSpace(string(etcd))+"/v3/kv/txn", bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("writing into etcd: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it is read
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("writing into etcd: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("writing into etcd: %s: %s", res.Status, answer)
	}
	return nil
}
