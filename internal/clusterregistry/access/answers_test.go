package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A positive answer must count for 10 seconds, and a negative one for 2 seconds, by the clock.
func TestAnswersExpire(t *testing.T) {
	t.Parallel()
	s := newServer(t, objects()...)
	r := newRegistry(t, s.controller())
	push := func(reason string, want int) {
		t.Helper()
		if resp, says := r.ask("ci", "POST acme/cnf/upf/blobs/uploads/", ""); resp.StatusCode != want {
			t.Fatalf("%s: the answer is %d %s, want %d", reason, resp.StatusCode, says, want)
		}
	}
	push("first", http.StatusAccepted)
	if s.tokens.Load() != 1 || s.accesses.Load() != 1 {
		t.Errorf("a push costs %d questions about the token and %d about rights, want one each", s.tokens.Load(), s.accesses.Load())
	}
	before := s.accesses.Load() + s.tokens.Load()
	push("again", http.StatusAccepted)
	if asked := s.accesses.Load() + s.tokens.Load() - before; asked != 0 {
		t.Errorf("what has just been answered is asked %d times more", asked)
	}
	delete(s.rights, ci)
	s.clock.Step(goodFor - time.Millisecond)
	push("the right counts for 10 seconds", http.StatusAccepted)
	s.clock.Step(time.Millisecond)
	push("and ends then", http.StatusForbidden)
	s.rights[ci] = []string{"push artifactmanifests/acme/cnf"}
	push("a refusal counts for 2 seconds", http.StatusForbidden)
	s.clock.Step(badFor)
	push("and ends then", http.StatusAccepted)

	s.users["ci"] = s.users["deleted"]
	push("a token counts for 10 seconds", http.StatusAccepted)
	s.clock.Step(goodFor)
	push("and ends with its account", http.StatusUnauthorized)
}

// While the API server does not answer, nodes must be able to pull, and other clients must get a clear answer.
func TestTheAPIServerIsAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(*server){
		"Down": func(s *server) { s.down.Store(true) },
		"Slow": func(s *server) { s.hang.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, objects()...)
			c := s.controller(func(o *Options) { o.AnonymousPull = true })
			r := newRegistry(t, c)
			if resp, _ := r.ask("ci", "GET ", ""); resp.StatusCode != http.StatusOK {
				t.Fatalf("before, the answer is %d", resp.StatusCode)
			}
			tokens, rights := c.tokens.limit, c.rights.limit
			c.tokens.limit, c.rights.limit = 50*time.Millisecond, 50*time.Millisecond
			away(s)
			const pull, push = "GET acme/cnf/upf/manifests/1.0.0", "POST acme/cnf/upf/blobs/uploads/"
			for _, tc := range []struct {
				reason, token, request string
				as                     func(*http.Request)
				want                   int
			}{
				{"nodes go on starting pods", "", pull, agent(true, agentSubject), 404},
				{"what everybody may needs no question", "", pull, func(*http.Request) {}, 404},
				{"the token is known, the right is not", "ci", push, func(*http.Request) {}, 503},
				{"whose token it is cannot be asked", "reader", pull, func(*http.Request) {}, 503},
				{"nor whether it is the operator's", "operator", push, func(*http.Request) {}, 503},
			} {
				resp, says := r.ask(tc.token, tc.request, "", tc.as)
				if resp.StatusCode != tc.want || tc.want == 503 && says != "UNAVAILABLE the registry cannot ask the API server who may do this; try again in a few seconds" {
					t.Errorf("%s: the answer is %d %s, want %d", tc.reason, resp.StatusCode, says, tc.want)
				}
			}
			s.down.Store(false)
			s.hang.Store(false)
			c.tokens.limit, c.rights.limit = tokens, rights // the test machine may be slow
			s.clock.Step(badFor)
			if resp, says := r.ask("ci", push, ""); resp.StatusCode != http.StatusAccepted {
				t.Errorf("when it is back, the answer is %d %s", resp.StatusCode, says)
			}
		})
	}
}

// One thousand wrong tokens at once must neither cause one thousand questions nor displace valid tokens from the cache.
func TestWrongTokensAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t, objects()...)
	c := s.controller()
	r := newRegistry(t, c)
	if resp, _ := r.ask("ci", "GET ", ""); resp.StatusCode != http.StatusOK {
		t.Fatalf("a right token is answered with %d", resp.StatusCode)
	}
	s.waitFor, s.mayProceed = make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for i := range 1000 {
		all.Go(func() {
			resp, _ := r.ask(fmt.Sprint("wrong", i), "GET ", "", from(fmt.Sprintf("10.0.0.%d:1", i/maxStranger)))
			mu.Lock()
			defer mu.Unlock()
			got[resp.StatusCode]++
		})
	}
	for range maxAtOnce { // until all turns are taken
		<-s.waitFor
	}
	if resp, _ := r.ask("ci", "GET ", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("while others try wrong tokens, a known one is answered with %d", resp.StatusCode)
	}
	for waiting := 0; waiting < maxWaiting; { // until no more questions may wait
		c.tokens.mu.Lock()
		waiting = len(c.tokens.asking)
		c.tokens.mu.Unlock()
	}
	s.clock.Step(goodFor)
	expired := make(chan int, 1)
	go func() {
		resp, _ := r.ask("ci", "GET ", "")
		expired <- resp.StatusCode
	}()
	select {
	case <-s.waitFor:
	case got := <-expired:
		t.Errorf("while others try wrong tokens, one whose answer has expired is not asked about, and answered with %d", got)
		expired <- got
	}
	go func() {
		for range s.waitFor { // receive the remaining questions
		}
	}()
	close(s.mayProceed)
	all.Wait()
	if got := <-expired; got != http.StatusOK {
		t.Errorf("a known token whose answer has expired is answered with %d", got)
	}
	close(s.waitFor)
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	if s.mostAtOnce > maxAtOnce+1 {
		t.Errorf("%d questions were asked at once, want at most %d and the known one", s.mostAtOnce, maxAtOnce)
	}
	if got[401]+got[503] != 1000 || int64(got[401]) < maxAtOnce || s.tokens.Load() > int64(got[401])+2 {
		t.Errorf("the answers are %v after %d questions", got, s.tokens.Load())
	}
	if len(c.tokens.asking) != 0 || c.tokens.bad.Len() > maxBad || c.tokens.good.Len() != 1 {
		t.Errorf("kept are %d questions, %d refusals and %d tokens", len(c.tokens.asking), c.tokens.bad.Len(), c.tokens.good.Len())
	}
}

// from returns a function that sets the address of a request.
func from(address string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = address }
}

// An address that tries wrong tokens may have only a few questions at
// a time, so that a new token from another address can be asked about.
func TestOneAddressHasFewQuestionsAtATime(t *testing.T) {
	t.Parallel()
	s := newServer(t, objects()...)
	c := s.controller()
	r := newRegistry(t, c)
	s.waitFor, s.mayProceed = make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for i := range maxStranger + maxStrangerWaiting {
		all.Go(func() {
			if resp, _ := r.ask(fmt.Sprint("wrong", i), "GET ", "", from(fmt.Sprintf("[2001:db8::%x]:1", i))); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("a wrong token is answered with %d", resp.StatusCode)
			}
		})
	}
	for range maxStranger {
		<-s.waitFor
	}
	other := make(chan int, 1)
	go func() {
		resp, _ := r.ask("ci", "GET ", "", from("[2001:db8:0:1::1]:1"))
		other <- resp.StatusCode
	}()
	<-s.waitFor
	close(s.mayProceed)
	go func() {
		for range s.waitFor { // receive the remaining questions
		}
	}()
	if got := <-other; got != http.StatusOK {
		t.Errorf("a right token from another address is answered with %d", got)
	}
	all.Wait()
	close(s.waitFor)
	if s.mostAtOnce > maxStranger+1 {
		t.Errorf("%d questions were asked at once", s.mostAtOnce)
	}
	if n := c.strangers.at.Len(); n != 0 {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestStrangers(t *testing.T) {
	t.Parallel()
	s := newStrangers()
	here, there := netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32")
	var leave []func()
	enter := func(ctx context.Context, at netip.Prefix) error {
		l, err := s.enter(ctx, at)
		if err == nil {
			leave = append(leave, l)
		}
		return err
	}
	for range maxStranger {
		if err := enter(t.Context(), here); err != nil {
			t.Fatal(err)
		}
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := enter(impatient, here); !errors.Is(err, errBusy) {
		t.Errorf("one too many from an address: %v", err)
	}
	if err := enter(t.Context(), there); err != nil {
		t.Errorf("from another address: %v", err)
	}
	for _, l := range leave {
		l()
	}
	if n := s.at.Len(); n != 0 {
		t.Errorf("%d addresses are remembered that have gone", n)
	}
}

// An address may have only so many requests that wait for its turns. The next one must be refused at once.
func TestStrangersThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStrangers()
		here, there := netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32")
		waiting, cancel := context.WithTimeout(t.Context(), askLimit)
		defer cancel()
		held := make(chan struct{})
		var all sync.WaitGroup
		var entered atomic.Int64
		for range maxStranger + maxStrangerWaiting {
			all.Go(func() {
				if leave, err := s.enter(waiting, here); err == nil {
					entered.Add(1)
					<-held
					leave()
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		if _, err := s.enter(waiting, here); !errors.Is(err, errBusy) || time.Since(began) > 0 {
			t.Errorf("one more is answered after %s with %v", time.Since(began), err)
		}
		if leave, err := s.enter(waiting, there); err != nil {
			t.Errorf("from another address: %v", err)
		} else {
			leave()
		}
		close(held)
		all.Wait()
		if n := s.at.Len(); n != 0 || entered.Load() != maxStranger+maxStrangerWaiting {
			t.Errorf("%d entered, and %d addresses are remembered", entered.Load(), n)
		}
	})
}

func TestAddressOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ from, want string }{
		{"10.0.0.1:5", "10.0.0.1/32"}, {"[::ffff:10.0.0.1]:5", "10.0.0.1/32"},
		{"[2001:db8::1]:5", "2001:db8::/64"}, {"[2001:db8::ffff:0:0:2]:5", "2001:db8::/64"}, {"[fe80::1%eth0]:5", "fe80::/64"},
		{"", "invalid Prefix"}, {"somewhere:5", "invalid Prefix"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = tt.from
		if got := AddressOf(r).String(); got != tt.want {
			t.Errorf("%q is %s, want %s", tt.from, got, tt.want)
		}
	}
}

// The number of waiting questions must be bounded.
func TestQuestionsThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := newAnswers[int, int](s.clock)
	release := make(chan struct{})
	ask := func(context.Context) (int, bool, error) { <-release; return 1, true, nil }
	for i := range maxWaiting {
		if _, err := a.join(t.Context(), i, ask); err != nil {
			t.Fatal(err)
		}
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.get(impatient, maxWaiting, ask); !errors.Is(err, errBusy) {
		t.Errorf("question %d is answered with %v, want %v", maxWaiting+1, err, errBusy)
	}
	close(release)
	if got, err := a.get(t.Context(), 0, ask); got != 1 || err != nil {
		t.Errorf("a question that was waiting is answered with %d, %v", got, err)
	}
}

// The same question must be asked once for all that wait for its answer, and must not end when one of them gives up.
func TestOneQuestionForAll(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := newAnswers[string, int](s.clock)
	asked, began, release := 0, make(chan struct{}), make(chan struct{})
	ask := func(ctx context.Context) (int, bool, error) {
		asked++
		close(began)
		<-release
		return asked, true, ctx.Err()
	}
	first, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() { _, err := a.get(first, "same", ask); gaveUp <- err }()
	<-began
	cancel()
	if err := <-gaveUp; err == nil {
		t.Error("who gave up got an answer")
	}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if got, err := a.get(t.Context(), "same", ask); got != 1 || err != nil {
				t.Errorf("the answer is %d, %v", got, err)
			}
		})
	}
	close(release)
	all.Wait()
}

// The most recently used answers must be kept.
func TestRecent(t *testing.T) {
	t.Parallel()
	r := newRecent[int, int](3)
	for i := range 3 {
		r.Add(i, i)
	}
	r.Get(0)
	r.Add(3, 3)
	if _, kept := r.Get(1); kept || r.Len() != 3 {
		t.Errorf("kept are %v", r.Keys())
	}
	if _, kept := r.Get(0); !kept {
		t.Error("what has just been used is dropped")
	}
}
