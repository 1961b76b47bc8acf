// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Constraints gathers what is wrong with the parameters of a call, in the words of AWS's request validation.
type constraints struct {
	form  form
	wrong []string
}

// sensitive parameters are never repeated in a message.
var sensitive = map[string]bool{"WebIdentityToken": true, "TokenCode": true}

func (c *constraints) violate(name, format string, args ...any) {
	value := "Value"
	if v, ok := c.form[name]; !ok {
		value = "Value null"
	} else if !sensitive[name] {
		value = "Value '" + v + "'"
	}
	// The message spells parameters as its model does: roleArn.
	member := strings.ToLower(name[:1]) + name[1:]
	c.wrong = append(c.wrong, fmt.Sprintf("%s at '%s' failed to satisfy constraint: %s", value, member, fmt.Sprintf(format, args...)))
}

// text holds a parameter to its length and, where there is one, its pattern. optional ones may be absent.
func (c *constraints) text(name string, shortest, longest int, pattern *regexp.Regexp, optional bool) string {
	v, ok := c.form[name]
	n := utf8.RuneCountInString(v)
	switch {
	case !ok && optional:
	case !ok:
		c.violate(name, "Member must not be null")
	case n < shortest:
		c.violate(name, "Member must have length greater than or equal to %d", shortest)
	case n > longest:
		c.violate(name, "Member must have length less than or equal to %d", longest)
	}
	if ok && pattern != nil && !pattern.MatchString(v) {
		c.violate(name, "Member must satisfy regular expression pattern: %s", strings.Trim(pattern.String(), "^$"))
	}
	return v
}

// number holds an optional whole number to its range; 0 when it is absent.
func (c *constraints) number(name string, least, most int) int {
	v, ok := c.form[name]
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(v)
	switch {
	case err != nil:
		c.violate(name, "Member must be a valid integer")
	case n < least:
		c.violate(name, "Member must have value greater than or equal to %d", least)
	case n > most:
		c.violate(name, "Member must have value less than or equal to %d", most)
	}
	return n
}

// err is the refusal, or nil when all is well.
func (c *constraints) err() error {
	switch n := len(c.wrong); n {
	case 0:
		return nil
	case 1:
		return validation("1 validation error detected: %s", c.wrong[0])
	default:
		return validation("%d validation errors detected: %s", n, strings.Join(c.wrong, "; "))
	}
}

func validation(format string, args ...any) *fault {
	return refuse(400, "ValidationError", format, args...)
}
