// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"slices"
	"testing"
)

// everything is for rules that say what a package may link, and nothing else.
var everything = []string{"..."}

// inner is what sources and targets share: words, names and answers, and how to ask. None of it knows a protocol.
var inner = []string{".", "./internal/jwt", "./internal/remote", "./internal/shape"}

// awsCore is the AWS SDK's types, signer and STS client, with what these three link. The client is taken for its table
// of regional endpoints and its answers' types. Reading configuration and finding credentials is not among it.
var awsCore = []string{
	"github.com/aws/aws-sdk-go-v2/aws/...", "github.com/aws/aws-sdk-go-v2/service/sts/...",
	"github.com/aws/aws-sdk-go-v2/internal/...", "github.com/aws/aws-sdk-go-v2/service/internal/...", "github.com/aws/smithy-go/...",
}

// googleSDK is whatever Google publishes for programs that use its clouds.
var googleSDK = []string{"cloud.google.com/go/...", "google.golang.org/api/...", "google.golang.org/grpc/...", "google.golang.org/genproto/...",
	"google.golang.org/protobuf/...", "github.com/googleapis/...", "golang.org/x/oauth2/..."}

// protowire is protobuf's wire format alone: no reflection and no generated code.
var protowire = []string{"google.golang.org/protobuf/encoding/protowire", "google.golang.org/protobuf/internal/..."}

var awsSDK = []string{"github.com/aws/..."}

var telemetry = []string{"go.opentelemetry.io/..."}

// telling is what OpenTelemetry has for those who tell: an interface, and words. Where it goes is not among it.
var telling = []string{"go.opentelemetry.io/otel/trace/...", "go.opentelemetry.io/otel/attribute/...", "go.opentelemetry.io/otel/codes",
	"go.opentelemetry.io/otel/propagation/...", "go.opentelemetry.io/otel/baggage", "go.opentelemetry.io/otel/semconv/...",
	"go.opentelemetry.io/otel/internal/...", "github.com/cespare/xxhash/v2"}

// arrows are which way the house's imports run.
var arrows = []rule{
	{
		of: []string{"."}, never: everything,
		why: "package stile is the words that all others share, so whatever it links, every user of any part links",
	}, {
		of: []string{"./from/..."}, never: []string{"./..."}, except: append([]string{"./from/..."}, inner...),
		why: "a source knows no target and no keeper: that makes n sources times m targets cost n + m",
	}, {
		of: []string{"./to/..."}, never: []string{"./..."}, except: append([]string{"./to/..."}, inner...),
		why: "a target knows no source and no keeper: that makes n sources times m targets cost n + m",
	}, {
		of: []string{"./keep"}, never: everything, except: []string{"."},
		why: "freshness is the same for every cloud, so the keeper links none; a store that needs a client is a package below keep",
	}, {
		of: []string{"./keep/seal"}, never: everything, except: []string{".", "./keep", "golang.org/x/sync/..."},
		why: "what seals credentials is read before it is trusted: it is short, and links next to nothing",
	}, {
		of: []string{"./keep/..."}, never: []string{"./..."}, except: []string{".", "./keep/...", "./internal/remote"},
		why: "a store keeps what it is given: it knows no source, no target and no outlet",
	}, {
		of: []string{"./keep/memcache"}, never: everything, except: []string{".", "./keep/...", "golang.org/x/sync/..."},
		why: "Memcached's four commands need no library",
	}, {
		of: []string{"./keep/file", "./keep/shared", "./keep/redis", "./keep/memcache"}, never: slices.Concat(telemetry, googleSDK, awsSDK, []string{"gocloud.dev/..."}),
		why: "the sidecar links them all, and stays small",
	}, {
		of: []string{"./serve/offer"}, never: everything, except: []string{"."},
		why: "the words that endpoints share link nothing",
	}, {
		of: []string{"./serve/ecs/...", "./serve/imds/...", "./serve/gce/..."}, never: everything, except: []string{".", "./serve/..."},
		why: "an endpoint hands out what it is given, and needs the standard library to say it",
	}, {
		of: []string{"./traces"}, never: everything, except: slices.Concat([]string{".", "./keep", "./serve/offer"}, telling),
		why: "what tells of exchanges is told by interfaces: it links no SDK, and neither sidecar nor endpoints",
	}, {
		of: []string{"./internal/exporter", "./internal/sidecar", "./serve/..."}, never: telemetry,
		why: "the lean build links them, and no OpenTelemetry",
	}, {
		of: []string{"./outlet"}, never: everything, except: []string{"."},
		why: "an outlet writes a credential that it is given: it needs the words and no cloud",
	}, {
		of: []string{"./config"}, never: []string{"./...", "github.com/aws/...", "cloud.google.com/..."}, except: []string{".", "./internal/shape"},
		why: "reading a file must not decide which cloud's libraries a program links",
	}, {
		of: []string{"./internal/jwt", "./internal/remote", "./internal/shape"}, never: everything, except: []string{"."},
		why: "every exchange goes through it, so whatever it links, both directions link",
	}, {
		of: []string{"./internal/process"}, never: everything, except: []string{".", "golang.org/x/sys/..."},
		why: "what runs a command knows signals, terminals and process numbers, and no crossing",
	}, {
		of: []string{"./lab/..."}, never: []string{"./..."}, except: []string{"./lab/...", "./trust/..."},
		why: "the lab shares no protocol code with what it tests: a mistake made twice the same way would cancel out",
	}, {
		of: []string{"./trust/aws/..."}, never: []string{"./..."}, except: []string{"./trust/aws/..."},
		why: "a policy engine judges documents and requests: the lab and the doctor both stand on it, so it stands on neither",
	}, {
		of: []string{"./trust/gcp/..."}, never: []string{"./..."}, except: []string{"./trust/gcp/..."},
		why: "a policy engine judges documents and requests: the lab and the doctor both stand on it, so it stands on neither",
	},
}

// directions are what a program that uses one direction need not carry.
var directions = []rule{
	{
		of: []string{"./from/aws"}, never: everything, except: slices.Concat(inner, awsCore),
		why: "signing needs the AWS SDK's signer and its table of STS endpoints; finding credentials is from/aws/awschain, for callers who want it",
	}, {
		of: []string{"./to/aws"}, never: everything, except: slices.Concat(inner, awsCore),
		why: "one unsigned request needs the table of STS endpoints; fitting into the AWS SDK is to/aws/awscreds, for callers who want it",
	}, {
		of: []string{"./from/gcp"}, never: everything, except: inner,
		why: "asking the metadata server needs the standard library alone",
	}, {
		of: []string{"./from/oidc"}, never: everything, except: slices.Concat(inner, protowire),
		why: "tokens of any issuer need the standard library, and for the SPIFFE Workload API's two messages the encoding of protobuf's wire format",
	}, {
		of: []string{"./to/gcp"}, never: everything, except: inner,
		why: "Google's exchange needs the standard library alone; fitting into its libraries is to/gcp/googleauth and to/gcp/oauth2source, for callers who want it",
	}, {
		of: []string{"./from/aws/...", "./to/aws/..."}, never: googleSDK,
		why: "what speaks to AWS carries no library of Google's",
	}, {
		of: []string{"./from/gcp/...", "./to/gcp/..."}, never: awsSDK,
		why: "what speaks to Google Cloud carries no library of AWS's",
	}, {
		of: []string{"./cmd/stile"}, never: slices.Concat([]string{"./lab/...", "gocloud.dev/..."}, telemetry, googleSDK), except: protowire,
		why: "the program ships as a sidecar, and is small because it speaks Google's protocols itself and leaves the lab at home",
	}, {
		of: []string{"./cmd/stile-lab"}, never: []string{"github.com/aws/aws-sdk-go-v2/service/s3/...", "google.golang.org/grpc/...", "google.golang.org/api/..."},
		why: "a stranger's first command compiles it from nothing, and the vendors' storage clients were two fifths of that",
	},
}

func TestArrows(t *testing.T) {
	t.Parallel()
	g := tree(t)
	for _, r := range slices.Concat(arrows, directions) {
		for _, line := range r.broken(g) {
			t.Error(line)
		}
	}
}
