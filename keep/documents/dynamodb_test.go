// SPDX-License-Identifier: Apache-2.0

package documents_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A dynamo is so much of DynamoDB as the driver of docstore speaks, in memory and strict: what it does not know, it
// refuses as DynamoDB refuses what is malformed. There is no server of AWS's to test with that a Go program could
// start. It does not look at signatures; its callers sign nothing. A read that does not ask to be consistent finds
// nothing, for that is what such a read may find.
// Source: Amazon DynamoDB API Reference, API version 2012-08-10.
type dynamo struct {
	table, key string
	address    string

	mu      sync.Mutex
	items   map[string]map[string]any
	refusal string // the type of error that everything is answered with
	before  func(operation string, items map[string]map[string]any)
}

func newDynamo(t *testing.T) *dynamo {
	t.Helper()
	d := &dynamo{table: "stile", key: "name", items: map[string]map[string]any{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.address = server.URL
	return d
}

// An awsError is a type of error, and a message.
type awsError struct{ kind, message string }

func (d *dynamo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
	d.mu.Lock()
	defer d.mu.Unlock()
	var ask request
	in := json.NewDecoder(bytes.NewReader(body))
	in.DisallowUnknownFields()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	answer, failed := any(nil), &awsError{"SerializationException", ""}
	if err := in.Decode(&ask); err == nil {
		answer, failed = d.do(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810."), &ask)
	} else {
		failed.message = err.Error()
	}
	if failed != nil {
		answer = map[string]string{"__type": "com.amazonaws.dynamodb.v20120810#" + failed.kind, "message": failed.message}
	}
	body, _ = json.Marshal(answer)
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	if failed != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = w.Write(body)
}

type request struct {
	TableName                 string
	Item, Key                 map[string]any
	ConditionExpression       string
	UpdateExpression          string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]any
	RequestItems              map[string]struct {
		Keys                     []map[string]any
		ConsistentRead           bool
		ProjectionExpression     string
		ExpressionAttributeNames map[string]string
	}
}

func (d *dynamo) do(operation string, ask *request) (any, *awsError) {
	if d.refusal != "" {
		return nil, &awsError{d.refusal, "User: arn:aws:iam::111122223333:user/reader is not authorized"}
	}
	if d.before != nil {
		d.before(operation, d.items)
	}
	if operation == "BatchGetItem" {
		return d.batchGet(ask)
	}
	if ask.TableName != d.table {
		return nil, &awsError{"ResourceNotFoundException", "Requested resource not found: Table: " + ask.TableName + " not found"}
	}
	key, of := ask.Key, ask.Key
	switch operation {
	case "DescribeTable":
		return map[string]any{"Table": map[string]any{"TableName": d.table, "TableStatus": "ACTIVE"}}, nil
	case "PutItem":
		key, of = map[string]any{d.key: ask.Item[d.key]}, ask.Item
		if text, _ := json.Marshal(ask.Item); len(text) > 400<<10 { // an item is counted without JSON, but nearly so
			return nil, &awsError{"ValidationException", "Item size has exceeded the maximum allowed size"}
		}
	}
	name, failed := d.name(key)
	if failed == nil {
		failed = d.condition(ask, d.items[name])
	}
	if failed != nil {
		return nil, failed
	}
	switch operation {
	case "PutItem":
		d.items[name] = of
	case "DeleteItem":
		delete(d.items, name)
	case "UpdateItem":
		return d.update(ask, name)
	default:
		return nil, &awsError{"UnknownOperationException", operation}
	}
	return map[string]any{}, nil
}

// name is the string that a key consists of.
func (d *dynamo) name(key map[string]any) (string, *awsError) {
	value, _ := key[d.key].(map[string]any)
	name, _ := value["S"].(string)
	if len(key) != 1 || len(value) != 1 || name == "" {
		return "", &awsError{"ValidationException", "The provided key element does not match the schema"}
	}
	return name, nil
}

func (d *dynamo) batchGet(ask *request) (any, *awsError) {
	wanted, known := ask.RequestItems[d.table]
	if !known || len(ask.RequestItems) != 1 {
		return nil, &awsError{"ResourceNotFoundException", "Requested resource not found"}
	}
	found := []any{}
	for _, key := range wanted.Keys {
		name, failed := d.name(key)
		if failed != nil {
			return nil, failed
		}
		if item := d.items[name]; item != nil && wanted.ConsistentRead {
			projected := map[string]any{}
			for one := range strings.SplitSeq(wanted.ProjectionExpression, ", ") {
				field := wanted.ExpressionAttributeNames[one]
				if value, has := item[field]; has {
					projected[field] = value
				}
			}
			found = append(found, projected)
		}
	}
	return map[string]any{"Responses": map[string]any{d.table: found}, "UnprocessedKeys": map[string]any{}}, nil
}

var condition = regexp.MustCompile(`^(?:(attribute_exists|attribute_not_exists) \((#\d+)\)|(#\d+) = (:\d+))$`)

func (d *dynamo) condition(ask *request, item map[string]any) *awsError {
	if ask.ConditionExpression == "" {
		return nil
	}
	c := condition.FindStringSubmatch(ask.ConditionExpression)
	if c == nil {
		return &awsError{"ValidationException", "Invalid ConditionExpression: " + ask.ConditionExpression}
	}
	stored, has := item[ask.ExpressionAttributeNames[c[2]+c[3]]]
	want, given := ask.ExpressionAttributeValues[c[4]]
	if ask.ExpressionAttributeNames[c[2]+c[3]] == "" || c[4] != "" && !given {
		return &awsError{"ValidationException", "a name or value of the expression is not defined"}
	}
	if c[1] == "attribute_exists" && has || c[1] == "attribute_not_exists" && !has || c[4] != "" && has && fmt.Sprint(stored) == fmt.Sprint(want) {
		return nil
	}
	return &awsError{"ConditionalCheckFailedException", "The conditional request failed"}
}

var assignment = regexp.MustCompile(`^(#\d+) = (:\d+)$`)

func (d *dynamo) update(ask *request, name string) (any, *awsError) {
	item := maps.Clone(d.items[name])
	if item == nil {
		item = maps.Clone(ask.Key)
	}
	set, ok := strings.CutPrefix(strings.TrimSpace(ask.UpdateExpression), "SET ")
	for one := range strings.SplitSeq(set, ", ") {
		a := assignment.FindStringSubmatch(one)
		if !ok || a == nil || ask.ExpressionAttributeNames[a[1]] == "" || ask.ExpressionAttributeValues[a[2]] == nil {
			return nil, &awsError{"ValidationException", "Invalid UpdateExpression: " + ask.UpdateExpression}
		}
		item[ask.ExpressionAttributeNames[a[1]]] = ask.ExpressionAttributeValues[a[2]]
	}
	d.items[name] = item
	return map[string]any{}, nil
}

// plant puts an item there that no store wrote.
func (d *dynamo) plant(name string, item map[string]any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	item[d.key] = map[string]any{"S": name}
	d.items[name] = item
}

// refuse has everything answered with an error, or nothing.
func (d *dynamo) refuse(kind string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusal = kind
}

func (d *dynamo) url() string {
	return "dynamodb://" + d.table + "?partition_key=" + d.key + "&region=eu-west-1&anonymous=true&endpoint=" + d.address
}
