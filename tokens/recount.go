package tokens

import (
	"context"

	"github.com/patgate/patgate/manifest"
)

// Recounted is a Store in which several processes create tokens at the same time. After a creation the user's tokens are
// counted again. If processes together create too many, at least the one that counts last sees all of them: each process
// that counts too many revokes its own token.
type Recounted interface {
	// TokensOf returns the tokens of a user that count towards `tokens.max`, as all processes have stored them by now.
	TokensOf(ctx context.Context, user string) ([]*manifest.APIToken, error)
}

// recount revokes the token that was just created, if its user now holds more than the groups allow, or if that can't be
// found out. The token's value was not given out.
func (s *Service) recount(ctx context.Context, r *CreateRequest, p *prepared) error {
	store, ok := s.Store.(Recounted)
	if limit := p.rights.Max; !ok || r.Actor.Admin || limit == 0 || p.token.AnyUser {
		return nil
	}
	list, err := store.TokensOf(ctx, p.token.User)
	held := 0
	for _, t := range list {
		if live(t, p.rights.MaxLifetime, s.now()) {
			held++
		}
	}
	if err == nil && held <= p.rights.Max {
		return nil
	}
	undo := RevokeRequest{Request: r.Request, Name: p.made.Name}
	if _, failed := s.Revoke(context.WithoutCancel(ctx), undo); failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	return Refuse(TooMany, "user", "%s holds %d live tokens with one that was created elsewhere at the same time, and their groups allow %d (`tokens.max`): try again, or revoke one first", p.token.User, held, p.rights.Max)
}
