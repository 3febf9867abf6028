package environment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// Users whose rights are generated.
const (
	// ManagerUser is the user of managers.
	ManagerUser = "system:serviceaccount:nfo-system:nfo-manager"
	// RemoverUser is the user of `nfo remove` in a job.
	RemoverUser = "system:serviceaccount:nfo-system:nfo-remover"
)

// Environment is a running API server with the product installed.
type Environment struct {
	// Admin may do everything.
	Admin *rest.Config
	// Client is an uncached client for Admin.
	Client client.Client

	rights map[string]*rights // by user
	// chartCommand starts the program that reads charts for managers. If empty, the test binary reads them.
	chartCommand []string
	command      *exec.Cmd
	stdin        io.Closer
	dir          string
}

// Root returns the repository's folder: the nearest folder above the working directory
// that has a go.mod. The working directory of a test is the folder of its package.
func Root() string {
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	return "."
}

// Main starts one environment for all tests of a package, runs the tests and returns the exit code.
func Main(m *testing.M, shared **Environment) int { return run(m, shared, (*Environment).install) }

// Empty is like Main, but does not install the product. It is for tests that install the product themselves.
func Empty(m *testing.M, shared **Environment) int { return run(m, shared, nil) }

func run(m *testing.M, shared **Environment, install func(*Environment, context.Context) error) int {
	e, err := start(context.Background())
	if err != nil {
		log.Print(err)
		return 1
	}
	if install != nil {
		if err := install(e, context.Background()); err != nil {
			log.Print(errors.Join(err, e.close(context.Background())))
			return 1
		}
	}
	*shared = e
	code := m.Run()
	if err := e.close(context.Background()); err != nil {
		log.Print(err)
		return 1
	}
	return code
}

// start starts the API server. If the server is not built yet,
// this takes minutes; the progress is written to standard error.
func start(ctx context.Context) (*Environment, error) {
	dir, err := os.MkdirTemp("", "nfo-test-")
	if err != nil {
		return nil, err
	}
	e := &Environment{dir: dir, rights: map[string]*rights{ManagerUser: newRights(), RemoverUser: newRights()}}
	// The child ends when its standard input is closed, also if this process is killed.
	e.command = exec.Command("go", "run", "-C", filepath.Join(Root(), "test", "cluster"), ".", "run", "--dir", dir, "--stdin")
	e.command.Stdout, e.command.Stderr = os.Stderr, os.Stderr
	e.command.Env = append(os.Environ(), "CGO_ENABLED=0") // as `make cluster` builds it, so that the build cache is used
	if e.stdin, err = e.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := e.command.Start(); err != nil {
		return nil, fmt.Errorf("starting the cluster: %w", err)
	}
	if err := errors.Join(e.buildChartReader(), e.connect(ctx)); err != nil {
		return nil, errors.Join(err, e.close(ctx))
	}
	return e, nil
}

// connect waits until the cluster is ready and sets Admin and Client.
func (e *Environment) connect(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- e.command.Wait() }()
	ready := filepath.Join(e.dir, "ready")
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Minute, true, func(context.Context) (bool, error) {
		select {
		case err := <-ended:
			return false, fmt.Errorf("the cluster has ended: %w", err)
		default:
			_, err := os.Stat(ready)
			return err == nil, nil
		}
	})
	if err != nil {
		return fmt.Errorf("waiting for the cluster: %w", err)
	}
	if e.Admin, err = clientcmd.BuildConfigFromFlags("", e.Kubeconfig()); err != nil {
		return err
	}
	e.Admin.QPS, e.Admin.Burst = 500, 1000
	scheme, err := reference.NewScheme()
	if err != nil {
		return err
	}
	e.Client, err = client.New(e.Admin, client.Options{Scheme: scheme})
	return err
}

// Kubeconfig is the path of a kubeconfig file with the rights of Admin.
func (e *Environment) Kubeconfig() string { return filepath.Join(e.dir, "kubeconfig") }

// install applies what `kubectl apply -k config` applies, except the Deployment, because the cluster
// has no node, and the webhooks that StartManager installs together with the managers that serve them.
func (e *Environment) install(ctx context.Context) error {
	for _, pattern := range []string{"config/crd/nfo.dev_*.yaml", "config/rbac/identity.yaml", "config/rbac/role.yaml", "config/rbac/watched.yaml", "config/rbac/purger.yaml", "config/rbac/remover.yaml", "config/rbac/tenants.yaml", "config/rbac/workloads.yaml", "config/rbac/mirror.yaml", "config/rbac/mirror_purger.yaml", "config/webhook/tombstones.yaml", "config/webhook/manager.yaml", "config/webhook/purger.yaml"} {
		files, err := filepath.Glob(filepath.Join(Root(), pattern))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("finding %s: %w", pattern, errors.Join(err, os.ErrNotExist))
		}
		for _, f := range files {
			if err := e.Apply(ctx, f, ""); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(e.bindRemover(ctx), e.bindScope(ctx), e.bindMirror(ctx)); err != nil {
		return err
	}
	// The API server serves a CRD only some time after the CRD was stored.
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		for _, kind := range []string{"ArtifactStoreList", "ArtifactManifestList", "NetworkFunctionDefinitionVersionList", "NetworkServiceDesignVersionList", "SiteNetworkServiceList", "TombstoneList", "ArtifactList"} {
			l := &unstructured.UnstructuredList{}
			l.SetAPIVersion("nfo.dev/v1alpha1")
			l.SetKind(kind)
			if err := e.Client.List(ctx, l); err != nil {
				return false, nil //nolint:nilerr // the kind is not served yet
			}
		}
		return true, nil
	})
}

// Apply applies every object of a YAML file with server-side apply. Each change may edit an object first.
func (e *Environment) Apply(ctx context.Context, file, namespace string, change ...func(*unstructured.Unstructured)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	for d := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		u := &unstructured.Unstructured{}
		if err := d.Decode(&u.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if u.Object == nil {
			continue
		}
		if namespace != "" {
			u.SetNamespace(namespace)
		}
		for _, c := range change {
			c(u)
		}
		err := e.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("test"), client.ForceOwnership)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("applying %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
}

// bindRemover binds RemoverUser to its roles. `kubectl apply -k config`
// does not bind them, because an administrator runs `nfo remove` there.
func (e *Environment) bindRemover(ctx context.Context) error {
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: RemoverUser}}
	everywhere, here := &rbacv1.ClusterRoleBinding{Subjects: subjects}, &rbacv1.RoleBinding{Subjects: subjects}
	everywhere.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "nfo-remover"}
	here.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "nfo-remover"}
	for _, o := range []client.Object{everywhere, here} {
		o.SetName("nfo-remover")
		o.SetNamespace(v1alpha1.ManagerNamespace)
	}
	everywhere.SetNamespace("")
	return errors.Join(e.Client.Create(ctx, everywhere), e.Client.Create(ctx, here))
}

// bindScope allows the manager and the purges to read namespaces, as the chart does
// with workloads.enabled. Each test grants access to the workloads that it needs.
func (e *Environment) bindScope(ctx context.Context) error {
	b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "nfo-workloads-scope"}}
	b.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "nfo-workloads-scope"}
	b.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:authenticated"}}
	return e.Client.Create(ctx, b)
}

// bindMirror grants the manager the roles that a mirror needs, as the chart does with mirror.enabled.
func (e *Environment) bindMirror(ctx context.Context) error {
	var failed []error
	for _, role := range []string{"nfo-mirror", "nfo-mirror-namespaces", "nfo-mirror-agents"} {
		b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role}}
		b.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
		b.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: ManagerUser}}
		failed = append(failed, e.Client.Create(ctx, b))
	}
	return errors.Join(failed...)
}

// As returns a configuration that impersonates a user.
func (e *Environment) As(user string) *rest.Config {
	c := rest.CopyConfig(e.Admin)
	c.Impersonate.UserName = user
	return c
}

// Judged is like As, but records the requests, so that LeastPrivilege can check them. It is for the product's own requests.
func (e *Environment) Judged(user string) *rest.Config {
	c := e.As(user)
	if r := e.rights[user]; r != nil {
		c.Wrap(r.record)
	}
	return c
}

// close ends the API server, waits until it has ended and removes its files.
func (e *Environment) close(ctx context.Context) error {
	err := e.stdin.Close()
	gone := func(context.Context) (bool, error) {
		_, err := os.Stat(filepath.Join(e.dir, "pid"))
		return os.IsNotExist(err), nil
	}
	return errors.Join(err, wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, gone), os.RemoveAll(e.dir))
}
