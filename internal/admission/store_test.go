package admission

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
)

// outline returns a list of errors as "path: detail".
func outline(all field.ErrorList) []string {
	var lines []string
	for _, e := range all {
		lines = append(lines, e.Field+": "+e.Detail)
	}
	return lines
}

// matches compares lines with the prefixes in want.
func matches(t *testing.T, reason string, want, got []string) {
	t.Helper()
	if len(want) != len(got) {
		t.Errorf("%s: -want +got\n%s", reason, cmp.Diff(want, got))
		return
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%s: %q does not begin with %q", reason, got[i], want[i])
		}
	}
}

func store(change ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: meta("acme")}
	s.UID = "u1"
	s.Spec.Registry.URL = "https://registry.example.com/acme"
	s.Spec.Purge = v1alpha1.PurgeSpec{Schedule: new("0 0 * * *"), TimeZone: "Etc/UTC"}
	for _, c := range change {
		c(s)
	}
	return s
}

func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestStoreErrors(t *testing.T) {
	t.Parallel()
	purge := func(change func(*v1alpha1.PurgeSpec)) *v1alpha1.ArtifactStore {
		return store(func(s *v1alpha1.ArtifactStore) { change(&s.Spec.Purge) })
	}
	schedule := func(line string) *v1alpha1.ArtifactStore {
		return purge(func(p *v1alpha1.PurgeSpec) { p.Schedule = &line })
	}
	zone := func(name string) *v1alpha1.ArtifactStore {
		return purge(func(p *v1alpha1.PurgeSpec) { p.TimeZone = name })
	}
	percent := func(threshold, target int32) *v1alpha1.ArtifactStore {
		return purge(func(p *v1alpha1.PurgeSpec) { p.ThresholdPercent, p.TargetPercent = threshold, target })
	}
	ca := func(pem []byte) *v1alpha1.ArtifactStore {
		return store(func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.CABundle = pem })
	}
	capacity := func(q string) *v1alpha1.ArtifactStore {
		return store(func(s *v1alpha1.ArtifactStore) { s.Spec.Capacity = new(resource.MustParse(q)) })
	}
	tests := map[string]struct {
		reason string
		store  *v1alpha1.ArtifactStore
		want   []string
	}{
		"Good":           {"the defaults", store(), nil},
		"NoSchedule":     {"purges by hand alone", schedule(""), nil},
		"DefaultsAbsent": {"an object that the API server has not filled in", purge(func(p *v1alpha1.PurgeSpec) { *p = v1alpha1.PurgeSpec{} }), nil},
		"Macro":          {"as Kubernetes takes it", schedule("@daily"), nil},
		"BadSchedule":    {"it parses like Kubernetes", schedule("61 * * * *"), []string{"spec.purge.schedule: not a crontab line (end of range (61) above maximum (59): 61); use five fields"}},
		"SixFields":      {"seconds are not Kubernetes'", schedule("0 0 0 * * *"), []string{"spec.purge.schedule: not a crontab line"}},
		"Blank":          {"not empty and not a schedule", schedule(" "), []string{"spec.purge.schedule: not a crontab line"}},
		"TZ":             {"there is timeZone", schedule("TZ=Europe/Berlin 0 0 * * *"), []string{"spec.purge.schedule: must not contain a time zone; set timeZone"}},
		"CronTZ":         {"there is timeZone", schedule("CRON_TZ=UTC 0 0 * * *"), []string{"spec.purge.schedule: must not contain a time zone"}},
		"TZAlone":        {"the parser would panic", schedule("TZ=0"), []string{"spec.purge.schedule: must not contain a time zone"}},
		"Berlin":         {"a real time zone", zone("Europe/Berlin"), nil},
		"Nowhere":        {"no such time zone", zone("Europe/Nowhere"), []string{"spec.purge.timeZone: not an IANA time zone"}},
		"Local":          {"whose?", zone("local"), []string{"spec.purge.timeZone: not an IANA time zone"}},
		"ZonePath":       {"no way out of the database", zone("../../etc/passwd"), []string{"spec.purge.timeZone: not an IANA time zone"}},
		"TargetAbove":    {"it would stop before it starts", percent(50, 60), []string{"spec.purge.targetPercent: a purge that starts at thresholdPercent 50 would stop at once"}},
		"TargetEqual":    {"it frees what is above", percent(50, 50), nil},
		"NoThreshold":    {"it always starts", percent(0, 60), nil},
		"CA":             {"a certificate", ca(certificate(t)), nil},
		"CAText":         {"not PEM", ca([]byte("hello")), []string{"spec.registry.caBundle: it has no certificate in PEM"}},
		"CAOther":        {"PEM of something else", ca(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})), []string{"spec.registry.caBundle: it has no certificate in PEM"}},
		"Capacity":       {"a quantity", capacity("1"), nil},
		"NoCapacity":     {"100 % of nothing", capacity("0"), []string{"spec.capacity: give a quantity above 0"}},
		"Negative":       {"less than nothing", capacity("-1Gi"), []string{"spec.capacity: give a quantity above 0"}},
		"URL":            {"a store from before a stricter pattern", store(func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.URL = "https://me:secret@registry.example.com" }), []string{"spec.registry.url: not a registry URL: it carries a user"}},
		"All": {"all at once", store(func(s *v1alpha1.ArtifactStore) {
			s.Spec.Capacity, s.Spec.Purge.Schedule, s.Spec.Purge.TimeZone = new(resource.MustParse("0")), new("never"), "Mars"
		}), []string{"spec.capacity: ", "spec.purge.schedule: ", "spec.purge.timeZone: "}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := storeErrors(tc.store)
			matches(t, tc.reason, tc.want, outline(all))
			if err := all.ToAggregate(); err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("a secret is repeated: %v", all)
			}
		})
	}
}

func TestStoreWarnings(t *testing.T) {
	t.Parallel()
	at := func(name, url string, uid types.UID, age time.Duration) v1alpha1.ArtifactStore {
		s := *store()
		s.Name, s.Spec.Registry.URL, s.UID = name, url, uid
		s.CreationTimestamp = metav1.NewTime(time.Unix(1e9, 0).Add(-age))
		return s
	}
	mine := at("acme", "https://registry.example.com/acme", "u1", time.Hour)
	claim := mine.DeepCopy()
	claim.Spec.Purge.PersistentVolumeClaim = &v1alpha1.LocalReference{Name: "data"}
	volume := claim.DeepCopy()
	volume.Spec.Purge.Usage = v1alpha1.UsageVolume
	var many []v1alpha1.ArtifactStore
	for range maxWarnings + 5 {
		many = append(many, at("many", "https://registry.example.com", types.UID(strings.Repeat("o", len(many)+1)), 2*time.Hour))
	}
	for name, tc := range map[string]struct {
		reason string
		store  v1alpha1.ArtifactStore
		all    []v1alpha1.ArtifactStore
		want   []string
	}{
		"Alone":      {"itself is not another", mine, []v1alpha1.ArtifactStore{mine}, nil},
		"Apart":      {"segments compare whole", mine, []v1alpha1.ArtifactStore{at("b", "https://registry.example.com/acme2", "u2", 0)}, nil},
		"Older":      {"the older wins", mine, []v1alpha1.ArtifactStore{at("b", "https://registry.example.com", "u2", 2*time.Hour)}, []string{"spec.registry.url overlaps with that of artifactstores/publisher/b: this store does nothing"}},
		"Younger":    {"the order in which they arrive does not matter", mine, []v1alpha1.ArtifactStore{at("b", "http://REGISTRY.example.com/acme/x", "u2", 0)}, []string{"spec.registry.url overlaps with that of artifactstores/publisher/b: that store does nothing"}},
		"SameSecond": {"then the UID", mine, []v1alpha1.ArtifactStore{at("b", "https://registry.example.com/acme", "u0", time.Hour)}, []string{"spec.registry.url overlaps with that of artifactstores/publisher/b: this store does nothing"}},
		"Unreadable": {"a store of no place overlaps with none", mine, []v1alpha1.ArtifactStore{at("b", "nowhere", "u2", 0)}, nil},
		"Claim":      {"it would be ignored", *claim, nil, []string{"spec.purge.persistentVolumeClaim has no effect"}},
		"Volume":     {"it is used", *volume, nil, nil},
		"Many":       {"an answer has an end", mine, many, slicesRepeat("spec.registry.url overlaps", maxWarnings)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			matches(t, tc.reason, tc.want, storeWarnings(&tc.store, tc.all))
		})
	}
}

func slicesRepeat(s string, n int) (all []string) {
	for range n {
		all = append(all, s)
	}
	return all
}

func TestUpdatesThatPassUnseen(t *testing.T) {
	t.Parallel()
	wrong := store(func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.TimeZone = "Mars" })
	annotated := wrong.DeepCopy()
	annotated.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan}
	annotated.Spec.Capacity, wrong.Spec.Capacity = new(resource.MustParse("1Gi")), new(resource.MustParse("1024Mi"))
	worse := going(wrong.DeepCopy())
	worse.Spec.Purge.Schedule = new("never")
	w := newWorld(t, nil, nil)
	v := storeValidator(w.preflight, &access{})
	if _, err := v.ValidateUpdate(asked(t, false), wrong, annotated); err != nil {
		t.Errorf("a change of metadata alone is refused for what was wrong before: %v", err)
	}
	if _, err := v.ValidateUpdate(asked(t, false), going(wrong.DeepCopy()), worse); err != nil {
		t.Errorf("I12: a change of what is being deleted is refused: %v", err)
	}
	changed := wrong.DeepCopy()
	changed.Spec.Purge.MaxDeletions = 1
	if _, err := v.ValidateUpdate(asked(t, false), wrong, changed); err == nil {
		t.Error("a changed spec with a wrong time zone passes")
	}
}

func TestStoreNeedsItsSecret(t *testing.T) {
	t.Parallel()
	names := func(secret string, change ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
		return store(append(change, func(s *v1alpha1.ArtifactStore) {
			s.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: secret}
		})...)
	}
	at := func(url string) func(*v1alpha1.ArtifactStore) {
		return func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.URL = url }
	}
	capped := func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.MaxDeletions = 1 }
	denied := `artifactstores.nfo.dev "acme" is forbidden: user "jane" cannot get resource "secrets" in API group "" in the namespace "publisher"; ` +
		`grant the verb "get" on secrets/publisher/push to this user, or let a user who has it apply the store: nfo sends the Secret in spec.registry.credentialsSecretRef to the store's registry`
	for name, tc := range map[string]struct {
		reason  string
		judge   judge
		was, is *v1alpha1.ArtifactStore
		asked   []string
		wrong   []string
	}{
		"Anonymous":    {reason: "it names none", is: store()},
		"Allowed":      {reason: "the user may read it anyway", judge: judge{allowed: true}, is: names("push"), asked: []string{"push"}},
		"Denied":       {reason: "making a store is not reading a Secret", is: names("push"), asked: []string{"push"}, wrong: []string{denied}},
		"Added":        {reason: "an update names one", was: store(), is: names("push"), asked: []string{"push"}, wrong: []string{denied}},
		"Changed":      {reason: "an update names another one", was: names("pull"), is: names("push"), asked: []string{"push"}, wrong: []string{denied}},
		"OtherHost":    {reason: "the same Secret goes to another host", was: names("push", at("https://other.example.com")), is: names("push"), asked: []string{"push"}, wrong: []string{denied}},
		"OtherScheme":  {reason: "the same Secret goes in clear", was: names("push"), is: names("push", at("http://registry.example.com/acme")), asked: []string{"push"}, wrong: []string{denied}},
		"OtherPath":    {reason: "the same host has it already", was: names("push", at("https://registry.example.com")), is: names("push")},
		"Unchanged":    {reason: "who changes something else need not read it", was: names("push"), is: names("push", capped)},
		"Dropped":      {reason: "nothing is sent any more", was: names("push"), is: store()},
		"Unknown":      {reason: "I2: nobody can say", judge: judge{allowed: true, err: errors.New("down")}, is: names("push"), asked: []string{"push"}, wrong: []string{`the request cannot be checked now: asking whether user "jane" has the verb "get" on secrets/publisher/push: down`}},
		"GoingAdded":   {reason: "what is being deleted still logs in to remove tags", was: going(store()), is: going(names("push")), asked: []string{"push"}, wrong: []string{denied}},
		"GoingCapped":  {reason: "I12: any other change of what is being deleted passes", was: going(names("push")), is: going(names("push", capped))},
		"GoingDropped": {reason: "I12: it goes without a login", was: going(names("push")), is: going(store())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := storeValidator(newWorld(t, nil, nil).preflight, tc.judge.access(t))
			for _, dryRun := range []bool{false, true} {
				tc.judge.asked = nil
				var err error
				if tc.was == nil {
					_, err = v.ValidateCreate(asked(t, dryRun), tc.is)
				} else {
					_, err = v.ValidateUpdate(asked(t, dryRun), tc.was, tc.is)
				}
				matches(t, tc.reason, tc.wrong, causes(err))
				var secrets []string
				for _, q := range tc.judge.asked {
					want := authorizationv1.ResourceAttributes{Namespace: "publisher", Verb: "get", Version: "v1", Resource: "secrets", Name: q.ResourceAttributes.Name}
					if q.User != "jane" || *q.ResourceAttributes != want {
						t.Errorf("%s: asked %+v", tc.reason, q)
					}
					secrets = append(secrets, q.ResourceAttributes.Name)
				}
				if diff := cmp.Diff(tc.asked, secrets); diff != "" {
					t.Errorf("%s: asked: -want +got\n%s", tc.reason, diff)
				}
			}
		})
	}
}

// Without a list of places, each namespace has its own part of the cluster's registry.
func TestAPrefixOfAnotherNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	v := storeValidator(newWorld(t, nil, nil).preflight, &access{})
	in := func(prefix string) *v1alpha1.ArtifactStore {
		return store(func(s *v1alpha1.ArtifactStore) {
			s.Spec.Registry = v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: prefix}}
		})
	}
	for _, own := range []string{"", "publisher", "publisher/radio"} {
		if ws, err := v.ValidateCreate(asked(t, false), in(own)); err != nil || len(ws) > 0 {
			t.Errorf("prefix %q: %v, %v", own, ws, err)
		}
	}
	const says = "spec.registry.clusterRegistry.prefix: Forbidden: in the cluster's own registry the prefix of a store in namespace publisher is publisher or begins with publisher/"
	if _, err := v.ValidateCreate(asked(t, false), in("acme")); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("the error is %v, want %q", err, says)
	}
}

func TestAPlaceOfAnotherNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	rules, err := place.Parse([]byte("places: [{registry: registry.example.com/acme, namespaces: [owner]}]"))
	if err != nil {
		t.Fatal(err)
	}
	const says = "registry.example.com/acme is reserved for namespace owner by the administrator's list of places"
	theirs := store()
	theirs.Spec.Registry.URL = "http://REGISTRY.example.com:80/acme/team"
	mine := theirs.DeepCopy()
	mine.Namespace, mine.UID = "owner", "owner"
	changed := theirs.DeepCopy()
	changed.Spec.Purge.TimeZone = "Europe/Berlin"
	annotated := theirs.DeepCopy()
	annotated.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan}
	w := newWorld(t, []client.Object{theirs}, nil)
	w.places = rules
	v := storeValidator(w.preflight, &access{})
	for name, ask := range map[string]func(context.Context) (admission.Warnings, error){
		"Create": func(ctx context.Context) (admission.Warnings, error) { return v.ValidateCreate(ctx, theirs) },
		"Update": func(ctx context.Context) (admission.Warnings, error) { return v.ValidateUpdate(ctx, theirs, changed) },
	} {
		if _, err := ask(asked(t, false)); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "spec.registry.url: Forbidden") {
			t.Errorf("%s: the error is %v, want %q", name, err, says)
		}
	}
	if _, err := v.ValidateUpdate(asked(t, false), theirs, annotated); err != nil {
		t.Errorf("a change of metadata is refused: %v", err)
	}
	if _, err := v.ValidateUpdate(asked(t, false), going(theirs.DeepCopy()), going(changed.DeepCopy())); err != nil {
		t.Errorf("I12: a change of what is being deleted is refused: %v", err)
	}
	if ws, err := v.ValidateCreate(asked(t, false), mine); err != nil || len(ws) > 0 {
		t.Errorf("who is named is %v, %v; a store that does not count is not a conflict", ws, err)
	}
}
