// SPDX-License-Identifier: Apache-2.0

// Package redis shares kept credentials through Redis, Valkey, and whatever else speaks their protocol: one server, a
// cluster, or servers under sentinels:
//
//	options, err := redis.Parse("rediss://stile@cache.example.com")
//	options.PasswordFile = "/run/secrets/redis"
//	engine, err := redis.Open(options)
//	defer engine.Close()
//	store := shared.New(engine, sealer)
//
// Its user needs no more than this:
//
//	ACL SETUSER stile on >PASSWORD ~stile:* +getrange +set +get +del +pttl +pexpire +eval +evalsha
//
// and for a cluster +cluster|slots too. An engine that may throw keys away to make room is good: a credential that is
// gone is made anew.
package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
)

const (
	// longestCall bounds a call whose context does not, counted as keep.Patience does.
	longestCall = 5 * time.Second
	// dialTime bounds opening one connection, counted so as well: go-redis opens them apart from whoever waits.
	dialTime = 3 * time.Second
	// abandoned is how long go-redis waits for the network in what a caller gave up. It counts by the clock, so this is
	// far more than a call may take, for it would cut short a process that gets no processor; and it is less than the
	// rest that a Memory gives a store that failed, so that connections are free by then.
	abandoned = 20 * time.Second
	// idleTime is how long a connection is put aside for. Firewalls drop idle ones, and some after a few minutes.
	idleTime = time.Minute

	idleConns = 2
	mostConns = 16 // at once, to each server; past it, calls wait for each other
	buffer    = 4 << 10
)

// Quiet has go-redis write no lines of its own to standard error, for the whole program. Whatever concerns a
// caller is in an error as well.
func Quiet() { logging.Disable() }

// Client is a [shared.Backend] on Redis. It keeps at most two idle connections to each server.
type Client struct {
	rdb  redis.UniversalClient
	name string             // in errors
	stop context.CancelFunc // ends dialling

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup // calls under way, with those that nobody waits for any more
}

var _ shared.Backend = (*Client)(nil)

// Open makes a Client. It connects to nobody before the first use, and fails with [stile.ErrMisuse] where the options
// are wrong.
func Open(o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	var config *tls.Config
	if o.TLS != nil {
		var err error
		if config, err = o.TLS.Config(); err != nil {
			return nil, err
		}
	}
	running, stop := context.WithCancel(context.Background())
	c := &Client{stop: stop, name: "Redis at " + strings.Join(o.Addresses, ", ")}
	dial := dialer(running, o.Dial, config)
	switch o.Kind {
	case Standalone:
		c.rdb = redis.NewClient(settings(o.Addresses[0], o.Database, o.credentials, dial))
	case Sentinel:
		c.name = "Redis " + o.Master + ", by the sentinels at " + strings.Join(o.Addresses, ", ")
		c.rdb = redis.NewClient(settings(o.Master, o.Database, o.credentials, o.toMaster(dial)))
	case Cluster:
		// Without routing policies it need not ask for the list of all commands. Redirections are how a cluster answers
		// while it moves names; they are followed on the spot.
		c.rdb = redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: o.Addresses, CredentialsProviderContext: o.credentials, Dialer: dial, Protocol: 2, DisableRoutingPolicies: true,
			MaxRedirects: 2, MaxRetries: -1, DialerRetries: 1, DialTimeout: abandoned, ReadTimeout: abandoned, ContextTimeoutEnabled: true,
			PoolSize: mostConns, MaxIdleConns: idleConns, ConnMaxIdleTime: idleTime, PipelinePoolSize: -1,
			ReadBufferSize: buffer, WriteBufferSize: buffer, DisableIdentity: true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
	}
	return c, nil
}

type (
	dialFunc        = func(ctx context.Context, network, address string) (net.Conn, error)
	credentialsFunc = func(context.Context) (user, password string, err error)
)

// settings are how go-redis speaks with one server: once, for as long as the caller waits, and of nothing else.
func settings(address string, database int, credentials credentialsFunc, dial dialFunc) *redis.Options {
	return &redis.Options{
		Addr: address, DB: database, CredentialsProviderContext: credentials, Dialer: dial, Protocol: 2,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: abandoned, ReadTimeout: abandoned, ContextTimeoutEnabled: true,
		PoolSize: mostConns, MaxIdleConns: idleConns, ConnMaxIdleTime: idleTime, PipelinePoolSize: -1,
		ReadBufferSize: buffer, WriteBufferSize: buffer, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// dialer opens connections until running ends, with TLS where config is given.
func dialer(running context.Context, dial dialFunc, config *tls.Config) dialFunc {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := keep.Patience(ctx, dialTime)
		defer cancel()
		defer context.AfterFunc(running, cancel)()
		plain, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if config == nil {
			return guarded(plain), nil
		}
		mine := config.Clone()
		if mine.ServerName == "" {
			mine.ServerName, _, _ = net.SplitHostPort(address)
		}
		conn := tls.Client(plain, mine)
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = plain.Close()
			return nil, err
		}
		return guarded(conn), nil
	}
}

// Close ends what is under way, and closes the connections.
func (c *Client) Close() error {
	c.mu.Lock()
	already := c.closed
	c.closed = true
	c.mu.Unlock()
	if already {
		return nil
	}
	c.stop()
	err := c.rdb.Close()
	c.work.Wait()
	if err != nil {
		return shared.Fault(context.Background(), "close the connections", c.name, err)
	}
	return nil
}

// enter counts one more call under way, if there may be one.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.work.Add(1)
	}
	return !c.closed
}

// ask runs one call, and leaves it behind when ctx ends: go-redis notices a deadline, but not that a caller has gone.
func ask[T any](ctx context.Context, c *Client, op string, call func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var got answer
	if got.err = ctx.Err(); got.err == nil && !c.enter() {
		got.err = net.ErrClosed
	}
	if got.err == nil {
		calling, cancel := keep.Patience(ctx, longestCall)
		came := make(chan answer, 1)
		go func() {
			defer c.work.Done()
			defer cancel()
			value, err := call(calling)
			came <- answer{value, err}
		}()
		select {
		case got = <-came:
		case <-calling.Done():
			select {
			case got = <-came: // it ended calling itself
			default:
				got.err = context.Cause(calling)
			}
		}
	}
	if got.err != nil {
		var none T
		return none, fault(ctx, op, c.name, got.err)
	}
	return got.value, nil
}

// Get is as [shared.Backend] says. It takes no more of what is there than could be ours.
func (c *Client) Get(ctx context.Context, name string) ([]byte, error) {
	const op = "read a kept credential"
	value, err := ask(ctx, c, op, func(ctx context.Context) (string, error) {
		return c.rdb.GetRange(ctx, name, 0, shared.MaxValue).Result()
	})
	switch {
	case err != nil:
		return nil, err
	case value == "":
		return nil, keep.ErrAbsent
	case len(value) > shared.MaxValue:
		return nil, &stile.Error{Op: op, Cloud: c.name, Err: fmt.Errorf("%w: longer than anything that was put there", keep.ErrAbsent)}
	}
	return []byte(value), nil
}

// Set is as [shared.Backend] says.
func (c *Client) Set(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	const op = "keep a credential"
	if len(value) > shared.MaxValue {
		return &stile.Error{Op: op, Err: fmt.Errorf("%d bytes are more than the %d that a store takes", len(value), shared.MaxValue)}
	}
	if ttl < time.Millisecond { // go-redis would let it be kept for ever
		return &stile.Error{Op: op, Err: fmt.Errorf("%w: it would be kept for %v, and the least is a second", stile.ErrMisuse, ttl)}
	}
	_, err := ask(ctx, c, op, func(ctx context.Context) (string, error) { return c.rdb.Set(ctx, name, value, ttl).Result() })
	return err
}

// The scripts return 1 for done and 0 for not. A name of another type than a string makes GET fail, so that it is no
// holder's; pcall has it answer instead.
var (
	// A lease that is already the holder's counts as taken: go-redis asks a cluster again when an answer is lost. What
	// has no end is no lease.
	addScript = redis.NewScript(`
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.pcall('GET', KEYS[1]) == ARGV[1] then return 1 end
if redis.call('PTTL', KEYS[1]) == -1 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
return 0`)
	extendScript = redis.NewScript(`
if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0`)
	removeScript = redis.NewScript(`
if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)
)

// Add is as [shared.Backend] says.
func (c *Client) Add(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	return c.script(ctx, "take the lease", addScript, name, holder, ttl.Milliseconds())
}

// Extend is as [shared.Backend] says.
func (c *Client) Extend(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	return c.script(ctx, "extend the lease", extendScript, name, holder, ttl.Milliseconds())
}

// Remove is as [shared.Backend] says.
func (c *Client) Remove(ctx context.Context, name, holder string) error {
	_, err := c.script(ctx, "end the lease", removeScript, name, holder)
	return err
}

func (c *Client) script(ctx context.Context, op string, s *redis.Script, name string, args ...any) (bool, error) {
	return ask(ctx, c, op, func(ctx context.Context) (bool, error) { return s.Run(ctx, c.rdb, []string{name}, args...).Bool() })
}
