// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net"
	"net/http"
	"slices"
	"testing"
	"time"
)

// A recorder is a connection that notes the deadlines it is given.
type recorder struct {
	net.Conn
	deadlines []time.Time
}

func (r *recorder) SetWriteDeadline(t time.Time) error {
	r.deadlines = append(r.deadlines, t)
	return nil
}

// TestWriteDeadline: what is left out is never more than a 64th of the time that an answer may take.
func TestWriteDeadline(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	c := &conn{Conn: r, l: &listener{http: &http.Server{WriteTimeout: 64 * time.Second}}}
	at := func(seconds float64) time.Time {
		return time.Unix(1_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	for _, deadline := range []time.Time{
		at(64), at(64), at(64.9), at(65), // each a request's; the last is a second later than what was set
		at(60), at(60.5), // the clock was set back, or the connection is being closed
		{}, {}, at(60.5), // none
		at(90),
	} {
		if err := c.SetWriteDeadline(deadline); err != nil {
			t.Fatal(err)
		}
	}
	if want := []time.Time{at(64), at(65), at(60), {}, {}, at(60.5), at(90)}; !slices.Equal(r.deadlines, want) {
		t.Errorf("got %v\nwant %v", r.deadlines, want)
	}
}
