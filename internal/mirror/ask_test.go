package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// private returns a scene whose source requires a login.
func private(t *testing.T) *scene {
	t.Helper()
	return newScene(t, registrytest.BasicAuth(theUser, thePassword))
}

func account(namespace, name string, secrets ...string) *corev1.ServiceAccount {
	a := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, s := range secrets {
		a.ImagePullSecrets = append(a.ImagePullSecrets, corev1.LocalObjectReference{Name: s})
	}
	return a
}

// The Secret that works is found behind others that do not, wherever it is referenced.
func TestTheLoginThatWorksIsFound(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reason string
		place  func(s *scene, image string)
		want   string
	}{
		"pod": {"two wrong Secrets before it", func(s *scene, image string) { s.create(pod("ran", image, "absent", "wrong", "right")) }, "right"},
		"mirrored": {"the pod was rewritten", func(s *scene, _ string) {
			s.create(pod("ran", s.image("upf:1").At("127.0.0.1:7439"), "wrong", "right"))
		}, "right"},
		"account": {"of the pod's ServiceAccount", func(s *scene, image string) {
			s.create(pod("ran", image, "wrong"), account("ran", "default", "right"), account("ran", "other", "wrong"))
		}, "right"},
		"scaled to zero": {"no pod uses it now", func(s *scene, _ string) {
			s.create(pod("ran", "elsewhere.example/x:1", "wrong"), account("ran", "upf", "right"))
		}, "right"},
		"CronJob": {"it has not run", func(s *scene, image string) {
			o := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "nightly"}}
			o.Spec.JobTemplate.Spec.Template.Spec = pod("ran", image, "right").Spec
			s.create(pod("ran", "elsewhere.example/x:1", "wrong"), o)
		}, "right"},
		"Job": {"it is suspended", func(s *scene, image string) {
			o := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "once"}}
			o.Spec.Template.Spec = pod("ran", image, "right").Spec
			s.create(o)
		}, "right"},
		"Deployment": {"it has no replicas, and more Secrets are of others than are tried", func(s *scene, image string) {
			o := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "upf"}}
			o.Spec.Template.Spec = pod("ran", image, "wrong", "right").Spec
			var many []string
			for n := range 2 * maxLogins {
				many = append(many, fmt.Sprintf("wrong-%d", n))
				s.create(s.login("ran", many[n], "guessed"))
			}
			s.create(pod("ran", "elsewhere.example/x:1", many...), o)
		}, "right"},
		"StatefulSet": {"another one has no right Secret", func(s *scene, image string) {
			o := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "upf"}}
			o.Spec.Template.Spec = pod("ran", image, "right").Spec
			other := o.DeepCopy()
			other.Name, other.Spec.Template.Spec = "amf", pod("ran", "elsewhere.example/x:1", "wrong").Spec
			s.create(o, other)
		}, "right"},
		"DaemonSet": {"no node fits", func(s *scene, image string) {
			o := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "upf"}}
			o.Spec.Template.Spec = pod("ran", image, "right").Spec
			s.create(o)
		}, "right"},
		"store": {"of a store of the namespace", func(s *scene, image string) {
			s.create(pod("ran", image, "wrong"), s.known("ran", "mine", &v1alpha1.LocalReference{Name: "right"}))
		}, "right"},
		"basic-auth": {"a store's may have another type", func(s *scene, _ string) {
			s.create(s.known("ran", "mine", &v1alpha1.LocalReference{Name: "basic"}))
		}, "basic"},
		"administrator": {"of the mirror's namespace, for all", func(s *scene, image string) {
			s.create(pod("ran", image, "wrong"), s.login("nfo-system", "all", thePassword))
			s.store.Spec.Mirror.ImagePullSecrets = []v1alpha1.LocalReference{{Name: "all"}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := private(t)
			d, i := s.pushed("upf", "login"), s.image("upf:1")
			basic := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "basic"}, Type: corev1.SecretTypeBasicAuth, Data: map[string][]byte{"username": []byte(theUser), "password": []byte(thePassword)}}
			s.create(s.login("ran", "wrong", "guessed"), s.login("ran", "right", thePassword), basic)
			tt.place(s, i.String())
			a := s.ask(i)
			if a.Secret != tt.want || a.Descriptor.Digest != d.Digest {
				t.Fatalf("%s: %q worked, want %q", tt.reason, a.Secret, tt.want)
			}
			s.source.Forget()
			s.ask(i)
			if n := s.source.Count(nil); n != 1 {
				t.Errorf("%s: what worked is asked with %d requests the next time", tt.reason, n)
			}
			s.open(Options{}) // a restart, after which only the status has the Secret
			s.source.Forget()
			q := s.question("ran", i)
			q.Seen, q.Secret = true, a.Secret
			if _, err := s.mirror.Ask(t.Context(), q); err != nil || a.Secret != "" && s.source.Count(withLogin("guessed")) != 0 {
				t.Errorf("%s: after a restart: %v, or others were tried first", tt.reason, err)
			}
		})
	}
}

// Without permission to list the kinds that create pods, the other logins are still tried. A Secret that only a
// template of another image, or of another namespace, references is never sent.
func TestTemplatesThatDoNotCount(t *testing.T) {
	t.Parallel()
	s := private(t)
	s.pushed("upf", "templates")
	i := s.image("upf:1")
	o := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "other"}}
	o.Spec.Template.Spec = pod("ran", "elsewhere.example/x:1", "right").Spec
	foreign := o.DeepCopy()
	foreign.Namespace, foreign.Spec.Template.Spec = "core", pod("core", i.String(), "right").Spec
	s.create(o, foreign, account("core", "default", "right"), s.login("ran", "right", thePassword), s.login("core", "right", thePassword))
	if a, err := s.mirror.Ask(t.Context(), s.question("ran", i)); !errors.Is(err, registry.ErrDenied) || s.source.Count(withLogin(thePassword)) != 0 {
		t.Errorf("%q worked, %v", a.Secret, err)
	}
	s.api = interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		switch list.(type) {
		case *batchv1.CronJobList, *batchv1.JobList, *appsv1.DeploymentList, *appsv1.StatefulSetList, *appsv1.DaemonSetList:
			return apierrors.NewForbidden(schema.GroupResource{Resource: "templates"}, "", errors.New("no"))
		}
		return c.List(ctx, list, opts...)
	}})
	s.open(Options{})
	s.create(account("ran", "upf", "right"))
	if a := s.ask(i); a.Secret != "right" {
		t.Errorf("%q worked", a.Secret)
	}
}

// Templates are read in pages, and the number of pages is bounded.
func TestPagesOfTemplates(t *testing.T) {
	t.Parallel()
	for last, want := range map[int]int{2: 2, 1000: templatesPages} {
		s := private(t)
		s.pushed("upf", "pages")
		i, read := s.image("upf:1"), 0
		s.create(s.login("ran", "right", thePassword))
		s.api = interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			page, ok := list.(*appsv1.DeploymentList)
			if !ok {
				return c.List(ctx, list, opts...)
			}
			asked := client.ListOptions{}
			asked.ApplyOptions(opts)
			if read++; asked.Limit != templatesPage || read > 1 && asked.Continue != fmt.Sprint(read-1) {
				t.Errorf("page %d: %+v", read, asked)
			}
			if read < last {
				page.Continue = fmt.Sprint(read)
				return nil
			}
			page.Items = make([]appsv1.Deployment, 1)
			page.Items[0].Spec.Template.Spec = pod("ran", i.String(), "right").Spec
			return nil
		}})
		s.open(Options{})
		if a, err := s.mirror.Ask(t.Context(), s.question("ran", i)); read != want || (err == nil) != (want == last) {
			t.Errorf("of %d pages %d were read, %q worked, %v", last, read, a.Secret, err)
		}
	}
}

// withLogin returns a function that matches requests with a password.
func withLogin(password string) func(*http.Request) bool {
	return func(req *http.Request) bool {
		_, sent, _ := req.BasicAuth()
		return sent == password
	}
}

// A Secret that was deleted or changed is forgotten, and the others are tried again.
func TestALoginThatIsGone(t *testing.T) {
	t.Parallel()
	s := private(t)
	s.pushed("upf", "gone")
	i := s.image("upf:1")
	first := s.login("ran", "first", thePassword)
	s.create(first, s.login("ran", "second", thePassword), pod("ran", i.String(), "first", "second"))
	if a := s.ask(i); a.Secret != "first" {
		t.Fatalf("%q worked", a.Secret)
	}
	if err := s.api.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if a := s.ask(i); a.Secret != "second" {
		t.Errorf("after it is gone %q worked", a.Secret)
	}
	second := s.login("ran", "second", "changed")
	var have corev1.Secret
	if err := s.api.Get(t.Context(), client.ObjectKeyFromObject(second), &have); err != nil {
		t.Fatal(err)
	}
	have.Data = second.Data
	if err := s.api.Update(t.Context(), &have); err != nil {
		t.Fatal(err)
	}
	if _, err := s.mirror.Ask(t.Context(), s.question("ran", i)); !errors.Is(err, registry.ErrDenied) {
		t.Errorf("with a changed password: %v", err)
	}
}

// If the API server fails, it is unknown whether a login works: that the source refuses the others proves nothing.
func TestASecretThatCannotBeReadNow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		namespace string
		says      string
	}{
		"of the namespace":     {"ran", "Secret ran/right"},
		"of the administrator": {"nfo-system", "a Secret of the mirror"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := private(t)
			s.pushed("upf", "unread")
			i := s.image("upf:1")
			s.create(s.login("ran", "wrong", "guessed"), s.login(tt.namespace, "right", thePassword))
			if tt.namespace == "ran" {
				s.create(pod("ran", i.String(), "wrong", "right"))
			} else {
				s.create(pod("ran", i.String(), "wrong"))
				s.store.Spec.Mirror.ImagePullSecrets = []v1alpha1.LocalReference{{Name: "right"}}
			}
			var fault error
			s.api = interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, secret := o.(*corev1.Secret); secret && key.Name == "right" && fault != nil {
					return fault
				}
				return c.Get(ctx, key, o, opts...)
			}})
			for _, remembered := range []bool{false, true} {
				if !remembered {
					s.open(Options{})
				}
				fault = apierrors.NewInternalError(errors.New("etcd has no leader for right"))
				_, err := s.mirror.Ask(t.Context(), s.question("ran", i))
				if err == nil || errors.Is(err, registry.ErrDenied) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("remembered %t: %v", remembered, err)
				} else if tt.namespace != "ran" && strings.Contains(err.Error(), "right") {
					t.Errorf("the namespace learns the name of the Secret: %v", err)
				}
				fault = nil
				s.source.Forget()
				s.ask(i)
				if n := s.source.Count(withLogin("guessed")); remembered && n != 0 {
					t.Errorf("what worked is forgotten, and another login was sent %d times", n)
				}
			}
		})
	}
}

// A Secret that the manager may not read counts as one without a login.
func TestASecretThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	s := private(t)
	s.pushed("upf", "forbidden")
	i := s.image("upf:1")
	s.create(s.login("ran", "right", thePassword), s.login("ran", "secret", thePassword), pod("ran", i.String(), "secret", "right"))
	s.api = interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if _, secret := o.(*corev1.Secret); secret && key.Name == "secret" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, key.Name, errors.New("no"))
		}
		return c.Get(ctx, key, o, opts...)
	}})
	s.open(Options{})
	if a := s.ask(i); a.Secret != "right" {
		t.Errorf("%q worked", a.Secret)
	}
}

// A Secret that the API server never returns, such as one whose key is lost, must not block images that other logins can read.
func TestASecretThatCannotBeReadBlocksNoOther(t *testing.T) {
	t.Parallel()
	s := private(t)
	s.pushed("upf", "broken")
	i := s.image("upf:1")
	s.create(s.login("ran", "broken", thePassword), s.login("ran", "right", thePassword), pod("ran", i.String(), "broken", "right"))
	s.api = interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if _, secret := o.(*corev1.Secret); secret && key.Name == "broken" {
			return apierrors.NewInternalError(errors.New("no key can decrypt it"))
		}
		return c.Get(ctx, key, o, opts...)
	}})
	s.open(Options{})
	if a := s.ask(i); a.Secret != "right" {
		t.Errorf("%q worked", a.Secret)
	}
}

// Registries say that an image does not exist if the login may not read it.
func TestASourceThatHides(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]string{"with a code": "NAME_UNKNOWN", "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.pushed("upf", "hidden")
			i := s.image("upf:1")
			s.source.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				_, sent, ok := req.BasicAuth()
				switch {
				case sent == thePassword:
					return false
				case !ok && req.Header.Get("Probe") == "":
					w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
					registrytest.Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "log in")
				case code == "":
					http.NotFound(w, req)
				default:
					registrytest.Fail(w, http.StatusNotFound, code, "not for you")
				}
				return true
			})
			s.create(s.login("ran", "wrong", "guessed"), s.login("ran", "right", thePassword), pod("ran", i.String(), "wrong", "right"))
			if a := s.ask(i); a.Secret != "right" {
				t.Errorf("%q worked", a.Secret)
			}
		})
	}
}

// A namespace gets no answer with the login of another namespace, whatever the mirror has.
func TestNamespacesHaveTheirOwnLogins(t *testing.T) {
	t.Parallel()
	s := private(t)
	want, i := s.pushed("upf", "own"), s.image("upf:1")
	s.create(s.login("ran", "right", thePassword), pod("ran", i.String(), "right"), pod("other", i.String(), "right"))
	s.create(s.known("ran", "mine", &v1alpha1.LocalReference{Name: "right"}))
	s.copy(i)
	s.has(i, want)
	_, err := s.mirror.Ask(t.Context(), s.question("other", i))
	if !errors.Is(err, registry.ErrDenied) || strings.Contains(err.Error(), thePassword) {
		t.Errorf("another namespace: %v", err)
	}
	// The namespace does not learn the names of the administrator's Secrets.
	s.create(s.login("nfo-system", "the-administrators", "outdated"))
	s.store.Spec.Mirror.ImagePullSecrets = []v1alpha1.LocalReference{{Name: "the-administrators"}}
	if _, err := s.mirror.Ask(t.Context(), s.question("other", i)); err == nil || strings.Contains(err.Error(), "the-administrators") {
		t.Errorf("another namespace: %v", err)
	}
}

// A Secret that the administrator removes from the mirror's settings
// is no longer used, although it has worked before and still exists.
func TestALoginThatTheAdministratorTakesBack(t *testing.T) {
	t.Parallel()
	s := private(t)
	s.pushed("upf", "taken")
	i := s.image("upf:1")
	s.create(pod("ran", i.String()), s.login("nfo-system", "all", thePassword))
	s.store.Spec.Mirror.ImagePullSecrets = []v1alpha1.LocalReference{{Name: "all"}}
	s.ask(i)
	s.store.Spec.Mirror.ImagePullSecrets = nil
	if _, err := s.mirror.Ask(t.Context(), s.question("ran", i)); !errors.Is(err, registry.ErrDenied) {
		t.Errorf("the source says %v", err)
	}
}

// A password without a host is not sent to a host that only an image references.
func TestAPasswordWithoutAHostIsKept(t *testing.T) {
	t.Parallel()
	s := private(t)
	s.pushed("upf", "basic")
	i := s.image("upf:1")
	basic := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "basic"}, Type: corev1.SecretTypeBasicAuth, Data: map[string][]byte{"username": []byte(theUser), "password": []byte(thePassword)}}
	s.create(basic, pod("ran", i.String(), "basic"))
	if _, err := s.mirror.Ask(t.Context(), s.question("ran", i)); !errors.Is(err, registry.ErrDenied) {
		t.Errorf("the source says %v", err)
	}
	if n := s.source.Count(withLogin(thePassword)); n != 0 {
		t.Errorf("the password was sent %d times", n)
	}
}

// A store whose registry has never answered does not decide how a source is reached.
func TestAStoreThatWasNeverReachedSaysNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.pushed("upf", "claims")
	i := s.image("upf:1")
	if at, err := s.mirror.reach(t.Context(), i); err != nil || !at.location.PlainHTTP {
		t.Errorf("as the store says: %+v, %v", at.location, err)
	}
	store := s.known("publisher", "acme", nil)
	if err := s.api.Get(t.Context(), client.ObjectKeyFromObject(store), store); err != nil {
		t.Fatal(err)
	}
	store.Status.FirstReadyTime = nil
	if err := s.api.Update(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	if at, err := s.mirror.reach(t.Context(), i); err != nil || at.location.PlainHTTP {
		t.Errorf("a store that was never reached: %+v, %v", at.location, err)
	}
}

// The certificate authority of a store is read live, because the cache does not keep it.
func TestAPrivateAuthority(t *testing.T) {
	t.Parallel()
	s := newScene(t, registrytest.TLS())
	want := s.pushed("upf", "tls")
	if a := s.ask(s.image("upf:1")); a.Descriptor.Digest != want.Digest {
		t.Errorf("%+v", a.Descriptor)
	}
}

func TestASourceThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.pushed("upf", "down")
	s.source.Down()
	if _, err := s.mirror.Ask(t.Context(), s.question("ran", s.image("upf:1"))); !errors.Is(err, registry.ErrUnavailable) || errors.Is(err, registry.ErrDenied) {
		t.Errorf("the source says %v", err)
	}
}
