// SPDX-License-Identifier: Apache-2.0

//go:build unix

package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
	"github.com/stile-project/stile/keep/shared/storetest"
)

func server(t *testing.T, more ...string) *storetest.Process {
	t.Helper()
	return storetest.Serve(t, "redis-server", func(port string) []string {
		return append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}, more...)
	})
}

func open(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func at(p *storetest.Process) Options { return Options{Addresses: []string{p.Address}} }

// admin speaks to the server itself.
func admin(t *testing.T, address, user, password string) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: address, Username: user, Password: password, Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func do(t *testing.T, rdb *redis.Client, command string) {
	t.Helper()
	var args []any
	for _, word := range strings.Fields(command) {
		args = append(args, word)
	}
	if err := rdb.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// until waits for what need not be at once.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !done(); <-tick.C {
		if time.Since(began) > time.Minute {
			t.Fatal("waited a minute for", what)
		}
	}
}

// within gives a context that ends soon, and checks that what it was for did not take much longer.
func within(t *testing.T, d time.Duration, call func(context.Context) error) error {
	t.Helper()
	return bounded(t, context.WithTimeout, d, call)
}

// bounds are how a call's time is counted: by the clock, or as a Memory does it.
var bounds = map[string]func(context.Context, time.Duration) (context.Context, context.CancelFunc){"the clock": context.WithTimeout, "patience": keep.Patience}

func bounded(t *testing.T, bound func(context.Context, time.Duration) (context.Context, context.CancelFunc), d time.Duration, call func(context.Context) error) error {
	t.Helper()
	ctx, cancel := bound(t.Context(), d)
	defer cancel()
	began := time.Now()
	err := call(ctx)
	if took := time.Since(began); took > d+2*time.Second {
		t.Errorf("it took %v, and had %v", took, d)
	}
	return err
}

// calls are all that can be asked.
func calls(c *Client, name string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Get": get(c, name),
		"Set": func(ctx context.Context) error { return c.Set(ctx, name, []byte("value"), time.Hour) },
		"Add": func(ctx context.Context) error {
			_, err := c.Add(ctx, name, "holder", time.Hour)
			return err
		},
		"Extend": func(ctx context.Context) error {
			_, err := c.Extend(ctx, name, "holder", time.Hour)
			return err
		},
		"Remove": func(ctx context.Context) error { return c.Remove(ctx, name, "holder") },
	}
}

func get(c *Client, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.Get(ctx, name)
		return err
	}
}

func wantFault(t *testing.T, what string, err, want error, words ...string) {
	t.Helper()
	var told *stile.Error
	if !errors.As(err, &told) || !errors.Is(err, want) || errors.Is(err, keep.ErrAbsent) {
		t.Errorf("%s: got %v; want a *stile.Error that is %v", what, err, want)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: got %v; want it to say %q", what, err, w)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v %s", err, err, err, told.Hint), "hunter2") {
		t.Errorf("%s: the password is in %v", what, err)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		p := server(t)
		storetest.Run(t, func(t *testing.T) shared.Backend { return open(t, at(p)) })
	})
	t.Run("a user with the least rights, and a database", func(t *testing.T) {
		t.Parallel()
		p := server(t, "--user", "default", "off", "--user", "stile", "on", ">hunter2", "~stile:*", "+select", "+getrange", "+set", "+get", "+del", "+pttl", "+pexpire", "+eval", "+evalsha")
		o, err := Parse("redis://stile:hunter2@" + p.Address + "/5")
		if err != nil {
			t.Fatal(err)
		}
		storetest.Run(t, func(t *testing.T) shared.Backend { return open(t, o) })
	})
	t.Run("TLS with client certificates", func(t *testing.T) {
		t.Parallel()
		files := storetest.Certificates(t)
		p := storetest.Serve(t, "redis-server", func(port string) []string {
			return []string{"--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--save", "", "--tls-cert-file", files.CertFile,
				"--tls-key-file", files.KeyFile, "--tls-ca-cert-file", files.CAFile, "--requirepass", "hunter2"}
		})
		o := at(p)
		o.TLS, o.Password = &files, stile.NewSecret("hunter2")
		storetest.Run(t, func(t *testing.T) shared.Backend { return open(t, o) })
		wrong := storetest.Certificates(t)
		for what, config := range map[string]*shared.TLS{"another authority": &wrong, "no certificate": {CAFile: files.CAFile}, "the system's authorities": {},
			"a server of another authority": {CAFile: wrong.CAFile, CertFile: files.CertFile, KeyFile: files.KeyFile},
			"another name":                  {CAFile: files.CAFile, CertFile: files.CertFile, KeyFile: files.KeyFile, ServerName: "cache.example.test"}, "no TLS": nil} {
			bad := o
			bad.TLS = config
			wantFault(t, what, within(t, 2*time.Second, get(open(t, bad), "name")), stile.ErrTemporary)
		}
		_, port, _ := net.SplitHostPort(p.Address)
		named := o
		named.Addresses = []string{net.JoinHostPort("localhost", port)}
		wantFault(t, "a certificate for another host", within(t, 2*time.Second, get(open(t, named), "name")), stile.ErrTemporary, "certificate")
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		o := Options{Kind: Cluster, Addresses: cluster(t)}
		storetest.Run(t, func(t *testing.T) shared.Backend { return open(t, o) })
	})
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		p := server(t)
		o := Options{Kind: Sentinel, Addresses: []string{sentinel(t, p.Address).Address}, Master: "main"}
		storetest.Run(t, func(t *testing.T) shared.Backend { return open(t, o) })
		bad := o
		bad.Master = "other"
		wantFault(t, "another master", within(t, 2*time.Second, get(open(t, bad), "name")), stile.ErrMisuse, "knows no master")
	})
}

// cluster starts three servers that share the slots.
func cluster(t *testing.T) (addresses []string) {
	t.Helper()
	var nodes []*redis.Client
	for i := range 3 {
		p := storetest.Serve(t, "redis-server", func(port string) []string {
			return []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--cluster-enabled", "yes", "--cluster-port", storetest.FreePort(t)}
		})
		addresses = append(addresses, p.Address)
		nodes = append(nodes, admin(t, p.Address, "", ""))
		do(t, nodes[i], fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*16384/3, (i+1)*16384/3-1))
	}
	for _, a := range addresses[1:] {
		host, port, _ := net.SplitHostPort(a)
		bus, err := admin(t, a, "", "").ConfigGet(t.Context(), "cluster-port").Result()
		if err != nil {
			t.Fatal(err)
		}
		do(t, nodes[0], "CLUSTER MEET "+host+" "+port+" "+bus["cluster-port"])
	}
	until(t, "the cluster to stand", func() bool {
		for _, n := range nodes {
			info, err := n.ClusterInfo(t.Context()).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	return addresses
}

// sentinel starts one that watches the server, and takes it for dead after half a second.
func sentinel(t *testing.T, address string) *storetest.Process {
	t.Helper()
	host, port, _ := net.SplitHostPort(address)
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main %s %s 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n", host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return storetest.Serve(t, "redis-server", func(port string) []string {
		return []string{config, "--sentinel", "--port", port, "--bind", "127.0.0.1"}
	})
}

func TestFailover(t *testing.T) {
	t.Parallel()
	master := server(t)
	host, port, _ := net.SplitHostPort(master.Address)
	replica := server(t, "--replicaof", host, port, "--repl-diskless-sync-delay", "0")
	until(t, "the replica to follow", func() bool {
		info, err := admin(t, replica.Address, "", "").Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	watch := sentinel(t, master.Address)
	until(t, "the sentinel to see the replica", func() bool {
		n, err := admin(t, watch.Address, "", "").Do(t.Context(), "SENTINEL", "REPLICAS", "main").Slice()
		return err == nil && len(n) == 1
	})
	c := open(t, Options{Kind: Sentinel, Addresses: []string{watch.Address}, Master: "main"})
	if err := c.Set(t.Context(), "name", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	do(t, admin(t, master.Address, "", ""), "WAIT 1 10000")
	master.Kill()
	wantFault(t, "just after its death", within(t, 500*time.Millisecond, get(c, "name")), stile.ErrTemporary)
	until(t, "the replica to take over", func() bool {
		return within(t, time.Second, func(ctx context.Context) error { return c.Set(ctx, "name", []byte("new"), time.Hour) }) == nil
	})
	if v, err := c.Get(t.Context(), "name"); err != nil || string(v) != "new" {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestKilledAndRestarted(t *testing.T) {
	t.Parallel()
	p := server(t)
	c := open(t, at(p))
	if err := c.Set(t.Context(), "name", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	for range 3 {
		wantFault(t, "killed", within(t, time.Second, get(c, "name")), stile.ErrTemporary)
	}
	never := open(t, at(p))
	wantFault(t, "never there", within(t, time.Second, get(never, "name")), stile.ErrTemporary)
	p.Start()
	for what, c := range map[string]*Client{"known before": c, "never there": never} {
		if _, err := c.Get(t.Context(), "name"); !errors.Is(err, keep.ErrAbsent) {
			t.Errorf("%s, after a restart: got %v; want ErrAbsent", what, err)
		}
	}
	if added, err := c.Add(t.Context(), "lease", "holder", time.Hour); !added || err != nil { // its scripts are gone too
		t.Errorf("after a restart: got %v, %v; want the lease", added, err)
	}
}

func TestFrozen(t *testing.T) {
	t.Parallel()
	p := server(t)
	known, fresh := open(t, at(p)), open(t, at(p))
	if _, err := known.Add(t.Context(), "lease", "holder", time.Hour); err != nil {
		t.Fatal(err)
	}
	p.Freeze()
	for what, c := range map[string]*Client{"a connection of before": known, "a new connection": fresh} {
		for op, call := range calls(c, "name") {
			for by, bound := range bounds {
				wantFault(t, what+", "+op+", by "+by, bounded(t, bound, 100*time.Millisecond, call), context.DeadlineExceeded, "gave up waiting")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		began := time.Now()
		wantFault(t, what+", cancelled", get(c, "name")(ctx), context.Canceled)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: one who had gone was kept for %v", what, took)
		}
	}
	began := time.Now()
	if err := fresh.Close(); err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("Close: got %v after %v", err, time.Since(began))
	}
	p.Thaw()
	until(t, "an answer after the thaw", func() bool {
		return within(t, time.Second, func(ctx context.Context) error { return known.Remove(ctx, "lease", "holder") }) == nil
	})
}

// Nobody answers, and nobody says that they do not.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {Kind: Cluster}, {Kind: Sentinel, Master: "main"}} {
		o.Addresses = []string{"192.0.2.1:6379"}
		o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		c := open(t, o)
		for by, bound := range bounds {
			wantFault(t, fmt.Sprintf("kind %d, by %s", o.Kind, by), bounded(t, bound, 100*time.Millisecond, get(c, "name")), context.DeadlineExceeded)
		}
	}
}

// A sentinel that hangs has its share of the time, and no more.
func TestFrozenSentinel(t *testing.T) {
	t.Parallel()
	p := server(t)
	frozen, well := sentinel(t, p.Address), sentinel(t, p.Address)
	c := open(t, Options{Kind: Sentinel, Addresses: []string{frozen.Address, well.Address}, Master: "main"})
	frozen.Freeze()
	defer frozen.Thaw()
	if err := bounded(t, keep.Patience, longestCall, get(c, "name")); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("got %v; want what the other sentinel's master says", err)
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	p := server(t, "--maxmemory", "512kb", "--maxmemory-policy", "noeviction")
	c := open(t, at(p))
	wantFault(t, "Set", c.Set(t.Context(), "name", make([]byte, 60000), time.Hour), stile.ErrTemporary, "OOM", "memory is full")
	_, err := c.Add(t.Context(), "lease", "holder", time.Hour)
	wantFault(t, "Add", err, stile.ErrTemporary)
	do(t, admin(t, p.Address, "", ""), "CONFIG SET maxmemory 0")
	if err := c.Set(t.Context(), "name", []byte("value"), time.Hour); err != nil {
		t.Errorf("with more memory: %v", err)
	}
}

func TestFlushedAndFoul(t *testing.T) {
	t.Parallel()
	p := server(t)
	c, root := open(t, at(p)), admin(t, p.Address, "", "")
	if err := c.Set(t.Context(), "name", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	do(t, root, "FLUSHALL")
	do(t, root, "SCRIPT FLUSH")
	if _, err := c.Get(t.Context(), "name"); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("flushed: got %v; want ErrAbsent", err)
	}
	for _, foul := range []string{"RPUSH %s a b", "HSET %s a b", "SADD %s a", "SET %s junk", "SETRANGE %s 70000 x"} {
		do(t, root, "DEL lease name")
		do(t, root, fmt.Sprintf(foul, "name"))
		if v, err := c.Get(t.Context(), "name"); foul != "SET %s junk" && !errors.Is(err, keep.ErrAbsent) {
			t.Errorf("%s: got %d bytes, %v; want ErrAbsent", foul, len(v), err)
		}
		if err := c.Set(t.Context(), "name", []byte("mended"), time.Hour); err != nil {
			t.Errorf("%s: Set: %v", foul, err)
		}
		if v, err := c.Get(t.Context(), "name"); err != nil || string(v) != "mended" {
			t.Errorf("%s: after Set: got %q, %v", foul, v, err)
		}
		do(t, root, fmt.Sprintf(foul, "lease"))
		if held, err := c.Extend(t.Context(), "lease", "holder", time.Hour); held || err != nil {
			t.Errorf("%s: Extend: got %v, %v", foul, held, err)
		}
		if err := c.Remove(t.Context(), "lease", "holder"); err != nil {
			t.Errorf("%s: Remove: %v", foul, err)
		}
		if added, err := c.Add(t.Context(), "lease", "holder", time.Hour); !added || err != nil {
			t.Errorf("%s: Add: got %v, %v; want it replaced, for it has no end", foul, added, err)
		}
		if added, err := c.Add(t.Context(), "lease", "other", time.Hour); added || err != nil {
			t.Errorf("%s: a second holder: got %v, %v", foul, added, err)
		}
	}
	if err := c.Set(t.Context(), "name", []byte("x"), 0); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("setting it for ever: got %v; want ErrMisuse", err)
	}
	long := bytes.Repeat([]byte("x"), shared.MaxValue+1)
	if err := c.Set(t.Context(), "name", long, time.Hour); err == nil || !strings.Contains(err.Error(), fmt.Sprint(len(long))) {
		t.Errorf("setting what is too long: got %v; want an error that says %d", err, len(long))
	}
}

// Asking for a lease twice under one name is asking once: a cluster is asked again when an answer was lost.
func TestAddTwice(t *testing.T) {
	t.Parallel()
	c := open(t, at(server(t)))
	for range 2 {
		if added, err := c.Add(t.Context(), "lease", "holder", time.Hour); !added || err != nil {
			t.Errorf("got %v, %v", added, err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	p := server(t, "--requirepass", "hunter2", "--maxclients", "20")
	root := admin(t, p.Address, "", "hunter2")
	do(t, root, "ACL SETUSER stile on >hunter2 ~stile:* +get")
	for _, c := range []struct {
		what string
		o    Options
		want error
		word string
	}{
		{"no password", Options{}, stile.ErrRefused, "NOAUTH"},
		{"a wrong password", Options{Password: stile.NewSecret("hunter22")}, stile.ErrRefused, "WRONGPASS"},
		{"a wrong user", Options{Username: "hunter2", Password: stile.NewSecret("hunter2")}, stile.ErrRefused, "WRONGPASS"},
		{"too few rights", Options{Username: "stile", Password: stile.NewSecret("hunter2")}, stile.ErrRefused, "NOPERM"},
		{"no such database", Options{Password: stile.NewSecret("hunter2"), Database: 99}, stile.ErrMisuse, "database"},
		{"no cluster", Options{Kind: Cluster, Password: stile.NewSecret("hunter2")}, stile.ErrMisuse, "no cluster"},
		{"a password file that is not there", Options{PasswordFile: "/nowhere/at/all"}, stile.ErrMisuse, "/nowhere/at/all"},
	} {
		c.o.Addresses = []string{p.Address}
		for op, call := range calls(open(t, c.o), "stile:name") {
			wantFault(t, c.what+", "+op, within(t, 2*time.Second, call), c.want, c.word)
		}
	}
}

// A new password in the file is good from the next connection on.
func TestPasswordFileIsReadAgain(t *testing.T) {
	t.Parallel()
	p := server(t, "--requirepass", "first")
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	o := at(p)
	o.PasswordFile = file
	c := open(t, o)
	if _, err := c.Get(t.Context(), "name"); !errors.Is(err, keep.ErrAbsent) {
		t.Fatal(err)
	}
	root := admin(t, p.Address, "", "first")
	do(t, root, "CONFIG SET requirepass second")
	do(t, root, "CLIENT KILL TYPE normal SKIPME yes")
	wantFault(t, "with the old one", within(t, time.Second, get(c, "name")), stile.ErrRefused)
	write("second\n")
	if _, err := c.Get(t.Context(), "name"); !errors.Is(err, keep.ErrAbsent) {
		t.Errorf("with the new one: got %v; want ErrAbsent", err)
	}
}

func TestCutMidAnswer(t *testing.T) {
	t.Parallel()
	p := server(t)
	proxy := storetest.NewProxy(t, p.Address)
	c := open(t, Options{Addresses: []string{proxy.Address}})
	want := bytes.Repeat([]byte("v"), 3000)
	if err := c.Set(t.Context(), "name", want, time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{0, 1, 5, 8, 1000, 3007} {
		proxy.CutAfter(n)
		wantFault(t, fmt.Sprintf("cut after %d bytes", n), within(t, 5*time.Second, get(c, "name")), stile.ErrTemporary)
		proxy.CutAfter(-1)
		if v, err := c.Get(t.Context(), "name"); err != nil || !bytes.Equal(v, want) {
			t.Errorf("after a cut at %d bytes: got %d bytes, %v", n, len(v), err)
		}
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"\r\n", "\x00\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "$9223372036854775806\r\n", "*9223372036854775806\r\n", "$2000000000\r\n", "*1000000000\r\n",
		"*-7\r\n", "$5\r\nab", ":hunter2\r\n", "-hunter2 hunter2\r\n", "-ERR hunter2\r\n", "-HUNTER2\r\n", "-WRONGPASS hunter2\r\n", "-MOVED hunter2\r\n", "-MOVED 1 hunter2:1\r\n",
		"%1\r\n", ">1\r\n+hunter2\r\n", "*0\r\n", "*1\r\n*0\r\n", "_\r\n", "(hunter2\r\n", "=7\r\nhunter2\r\n", "|1\r\n+a\r\n+b\r\n", "-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n"} {
		address := storetest.Babbler(t, []byte(answer))
		for _, o := range []Options{{}, {Kind: Cluster}, {Kind: Sentinel, Master: "main"}} {
			o.Addresses, o.Username, o.Password = []string{address}, "stile", stile.NewSecret("hunter2")
			c := open(t, o)
			for op, call := range calls(c, "name") {
				err := within(t, 100*time.Millisecond, call)
				if err == nil && op != "Remove" || err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s of kind %d, answered %q: got %v", op, o.Kind, answer, err)
				}
			}
			if err := c.Close(); err != nil {
				t.Errorf("Close, answered %q: %v", answer, err)
			}
		}
	}
}

// Servers and proxies that do not know a command repeat it, with the password in it.
func TestEchoedPasswordStaysOut(t *testing.T) {
	t.Parallel()
	for _, around := range [][2]string{{"-ERR unknown command, with args beginning with: ", "\r\n"}, {"-", "\r\n"}, {"", ""}, {"+", ""}, {"$70000\r\n", ""}} {
		address := storetest.Echo(t, around[0], around[1])
		for _, o := range []Options{{}, {Kind: Cluster}, {Kind: Sentinel, Master: "main", SentinelUsername: "hunter2", SentinelPassword: stile.NewSecret("hunter2")}} {
			o.Addresses, o.Username, o.Password = []string{address}, "stile", stile.NewSecret("hunter2")
			for op, call := range calls(open(t, o), "name") {
				if err := within(t, 200*time.Millisecond, call); err != nil && strings.Contains(fmt.Sprintf("%v %#v", err, err), "hunter2") {
					t.Errorf("%s of kind %d, echoed after %q: got %v", op, o.Kind, around[0], err)
				}
			}
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	c := open(t, at(server(t)))
	if err := c.Set(t.Context(), "name", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantFault(t, "closed", get(c, "name")(t.Context()), stile.ErrTemporary)
}

func TestAbsent(t *testing.T) {
	t.Parallel()
	storetest.Absent(t, func() string { return server(t).Address }, func(t *testing.T, address string) shared.Backend {
		t.Helper()
		return open(t, Options{Addresses: []string{address}})
	})
}
