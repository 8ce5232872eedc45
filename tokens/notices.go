package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
)

// NoticeDays are the numbers of days before a token's end at which notice is given, the earliest first.
var NoticeDays = []int{30, 7, 1}

// NoticedAnnotation remembers of which end a token had notice, and how many days before: so that
// notice is given once, whatever starts anew and however many processes there are.
const NoticedAnnotation = "patgate.dev/expiry-noticed"

// ExpiresSoon is the action of an Event about a token that ends soon.
const ExpiresSoon Action = "token.expires-soon"

// Notice says that a token ends within so many days.
type Notice struct {
	Token, User, DisplayName string
	End                      time.Time
	Days                     int // one of NoticeDays
}

// Notices returns the notices that are due, and remembers in each token's manifest that it had them,
// before it returns: of several processes, one returns a notice. A token whose manifest can't be
// changed is named by the error, and gets no notice.
func (s *Service) Notices(ctx context.Context) (list []Notice, failed error) {
	set, err := s.Documents.Documents(ctx)
	if err != nil {
		return nil, err
	}
	if len(set.Problems) > 0 {
		return nil, &ProblemsError{set.Problems}
	}
	for i, row := range set.Rows.Tokens {
		due := dueNotices(row, set.Tokens[i], s.now())
		if len(due) == 0 || ctx.Err() != nil {
			continue
		}
		err := s.remember(ctx, row, due)
		var conflict *ConflictError
		switch {
		case errors.As(err, &conflict): // another process has given it, or the next call does
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("token %s: %w", row.Name, err))
		default:
			list = append(list, due...)
		}
	}
	return list, failed
}

// dueNotices lists the notices of a token that are due and were not given.
func dueNotices(row *policy.Token, doc *manifest.Document, now time.Time) (due []Notice) {
	end := row.End()
	if row.Canary || row.Revoked || end.IsZero() || !now.Before(end) {
		return nil
	}
	given := noticed(doc.Metadata.Annotations[NoticedAnnotation], end)
	for _, days := range NoticeDays {
		if end.Sub(now) <= time.Duration(days)*24*time.Hour && !slices.Contains(given, days) {
			due = append(due, Notice{row.Name, row.User, doc.APIToken.DisplayName, end, days})
		}
	}
	return due
}

// noticed reads of which days a token had notice; none where it has another end now.
func noticed(text string, end time.Time) (days []int) {
	words := strings.Fields(text)
	if len(words) == 0 || words[0] != writtenTime(end) {
		return nil
	}
	for _, word := range words[1:] {
		if n, err := strconv.Atoi(word); err == nil {
			days = append(days, n)
		}
	}
	return days
}

// remember writes into a token's manifest that it had notices, unless it has changed meanwhile.
func (s *Service) remember(ctx context.Context, row *policy.Token, due []Notice) error {
	stored, err := s.Store.Get(ctx, row.Name)
	if err != nil {
		return err
	}
	given := noticed(stored.Document.Metadata.Annotations[NoticedAnnotation], due[0].End)
	text := writtenTime(due[0].End)
	for _, days := range NoticeDays {
		now := slices.ContainsFunc(due, func(n Notice) bool { return n.Days == days })
		if now && slices.Contains(given, days) {
			return &ConflictError{stored.File}
		}
		if now || slices.Contains(given, days) {
			text += " " + strconv.Itoa(days)
		}
	}
	change := &edit.Change{Fields: []edit.Field{{Annotation: true, Key: NoticedAnnotation, Value: text}}}
	_, err = s.Store.Apply(ctx, row.Name, stored.Revision, change)
	return err
}
