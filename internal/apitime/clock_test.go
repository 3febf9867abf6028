package apitime

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	t.Parallel()
	type answer struct {
		ahead time.Duration // of the server's clock
		took  time.Duration
		after time.Duration // since the answer before
	}
	rows := map[string]struct {
		reason    string
		answers   []answer
		low, high time.Duration // between which the offset must be
		skew      time.Duration // at least; 0: none at all
	}{
		"equal":           {"a date is cut to the second", []answer{{0, time.Millisecond, 0}}, 0, 0, 0},
		"half a second":   {"nobody can see that", []answer{{500 * time.Millisecond, time.Millisecond, 0}}, 0, 0, 0},
		"slow answer":     {"the date may be from any moment of the request", []answer{{0, 20 * time.Second, 0}}, 0, 0, 0},
		"node ahead":      {"the server's time counts", []answer{{-49 * time.Hour, time.Millisecond, 0}}, -49*time.Hour - time.Second, -49*time.Hour + 2*time.Second, 48 * time.Hour},
		"node behind":     {"the server's time counts", []answer{{2 * time.Hour, time.Millisecond, 0}}, 2*time.Hour - time.Second, 2*time.Hour + time.Second, time.Hour},
		"set right":       {"the last answer counts, and the skew is remembered", []answer{{2 * time.Hour, time.Millisecond, 0}, {0, time.Millisecond, time.Minute}}, 0, 0, time.Hour},
		"long ago":        {"then it is forgotten", []answer{{2 * time.Hour, time.Millisecond, 0}, {0, time.Millisecond, time.Hour}}, 0, 0, 0},
		"two API servers": {"that disagree are a skew", []answer{{0, time.Millisecond, 0}, {5 * time.Minute, time.Millisecond, time.Second}}, 4 * time.Minute, 6 * time.Minute, 4 * time.Minute},
		"no answer":       {"the host's own time", nil, 0, 0, 0},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &Clock{}
				for _, a := range row.answers {
					<-time.After(a.after)
					rt := c.Wrap(roundTripper(func(*http.Request) (*http.Response, error) {
						<-time.After(a.took)
						return &http.Response{Header: http.Header{"Date": {time.Now().Add(a.ahead).UTC().Format(http.TimeFormat)}}}, nil
					}))
					if _, err := rt.RoundTrip(httptest.NewRequest(http.MethodGet, "/", nil)); err != nil { //nolint:bodyclose // none exists
						t.Fatal(err)
					}
				}
				if offset := time.Until(c.Now()); offset < row.low || offset > row.high {
					t.Errorf("the offset is %s, want %s to %s: %s", offset, row.low, row.high, row.reason)
				}
				if skew := c.Skew(); skew < row.skew || (row.skew == 0 && skew != 0) {
					t.Errorf("the skew is %s, want at least %s: %s", skew, row.skew, row.reason)
				}
			})
		})
	}
}

func TestClockIgnoresWhatIsNoDate(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = []string{"soon"} }))
	defer server.Close()
	c := &Clock{}
	resp, err := (&http.Client{Transport: c.Wrap(http.DefaultTransport)}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if c.known {
		t.Error("an answer without a date was taken into account")
	}
}

// Answers that keep disagreeing, as those of API servers whose clocks differ
// by seconds, must not keep a large skew that was set right long ago.
func TestASkewIsForgottenAlthoughAnswersDisagree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Clock{}
		answer := func(ahead time.Duration) {
			now := time.Now()
			c.observe(now, now, now.Add(ahead).Truncate(time.Second))
		}
		answer(2 * time.Hour)
		for passed := time.Minute; passed <= 40*time.Minute; passed += time.Minute {
			<-time.After(time.Minute)
			answer(time.Duration(passed/time.Minute%2) * 5 * time.Second)
			if skew := c.Skew(); passed < window && skew < time.Hour || passed > 2*window && skew > time.Minute {
				t.Errorf("the skew is %s after %s", skew, passed)
			}
		}
	})
}
