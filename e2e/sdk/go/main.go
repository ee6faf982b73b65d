// The Go SDK as a program: events on standard output, commands on standard input (see ../README.md).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

// How long the server may take to answer.
const answerTime = 10 * time.Second

// The longest line of a command.
const lineBytesMax = 1 << 20

type fields map[string]any

// command has the fields of all commands.
type command struct {
	Op      string          `json:"op"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	Limit   int32           `json:"limit"`
	Token   string          `json:"token"`
}

var output sync.Mutex

func show(event string, more fields) {
	more["event"] = event
	line, err := json.Marshal(more)
	if err != nil {
		log.Fatal(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(line))
}

func showError(op string, err error, channel string) {
	var reply *centrifuge.Error
	var code uint32
	if errors.As(err, &reply) {
		code = reply.Code
	}
	show("error", fields{"op": op, "channel": channel, "code": code, "message": err.Error()})
}

func publication(channel string, pub centrifuge.Publication) fields {
	return fields{"channel": channel, "data": json.RawMessage(pub.Data), "offset": pub.Offset}
}

func subscribed(channel string, recovered, wasRecovering bool) fields {
	return fields{"channel": channel, "recovered": recovered, "was_recovering": wasRecovering}
}

func serverSide(event fields) fields {
	event["server_side"] = true
	return event
}

type program struct {
	client *centrifuge.Client
	delta  centrifuge.DeltaType
	tokens chan string
}

// getToken is asked by the SDK for a new token; the command `token` answers.
func (p *program) getToken(centrifuge.ConnectionTokenEvent) (string, error) {
	show("token_wanted", fields{})
	return <-p.tokens, nil
}

func (p *program) watch() {
	p.client.OnConnecting(func(e centrifuge.ConnectingEvent) {
		show("connecting", fields{"code": e.Code, "reason": e.Reason})
	})
	p.client.OnConnected(func(e centrifuge.ConnectedEvent) { show("connected", fields{"client": e.ClientID}) })
	p.client.OnDisconnected(func(e centrifuge.DisconnectedEvent) {
		show("disconnected", fields{"code": e.Code, "reason": e.Reason})
	})
	p.client.OnError(func(e centrifuge.ErrorEvent) { showError("connect", e.Error, "") })
	// Subscriptions that the server made.
	p.client.OnSubscribed(func(e centrifuge.ServerSubscribedEvent) {
		show("subscribed", serverSide(subscribed(e.Channel, e.Recovered, e.WasRecovering)))
	})
	p.client.OnUnsubscribed(func(e centrifuge.ServerUnsubscribedEvent) {
		show("unsubscribed", serverSide(fields{"channel": e.Channel}))
	})
	p.client.OnPublication(func(e centrifuge.ServerPublicationEvent) {
		show("publication", serverSide(publication(e.Channel, e.Publication)))
	})
}

func (p *program) subscribe(channel string) error {
	subscription, err := p.client.NewSubscription(channel, centrifuge.SubscriptionConfig{Delta: p.delta})
	if err != nil {
		return err
	}
	subscription.OnSubscribing(func(e centrifuge.SubscribingEvent) {
		show("subscribing", fields{"channel": channel, "code": e.Code, "reason": e.Reason})
	})
	subscription.OnSubscribed(func(e centrifuge.SubscribedEvent) {
		show("subscribed", subscribed(channel, e.Recovered, e.WasRecovering))
	})
	subscription.OnUnsubscribed(func(e centrifuge.UnsubscribedEvent) {
		show("unsubscribed", fields{"channel": channel, "code": e.Code, "reason": e.Reason})
	})
	subscription.OnError(func(e centrifuge.SubscriptionErrorEvent) { showError("subscribe", e.Error, channel) })
	subscription.OnPublication(func(e centrifuge.PublicationEvent) {
		show("publication", publication(channel, e.Publication))
	})
	return subscription.Subscribe()
}

func (p *program) unsubscribe(channel string) error {
	subscription, known := p.client.GetSubscription(channel)
	if !known {
		return errors.New("there is no such subscription")
	}
	return subscription.Unsubscribe()
}

func (p *program) publish(ctx context.Context, channel string, data json.RawMessage) error {
	if _, err := p.client.Publish(ctx, channel, data); err != nil {
		return err
	}
	show("published", fields{"channel": channel, "data": data})
	return nil
}

func (p *program) presence(ctx context.Context, channel string) error {
	result, err := p.client.Presence(ctx, channel)
	if err != nil {
		return err
	}
	stats, err := p.client.PresenceStats(ctx, channel)
	if err != nil {
		return err
	}
	users := []string{}
	for _, info := range result.Clients {
		users = append(users, info.User)
	}
	slices.Sort(users)
	data := fields{"users": users, "clients": stats.NumClients, "distinct": stats.NumUsers}
	show("presence", fields{"channel": channel, "data": data})
	return nil
}

func (p *program) history(ctx context.Context, channel string, limit int32) error {
	newestFirst := centrifuge.WithHistoryReverse(true)
	result, err := p.client.History(ctx, channel, centrifuge.WithHistoryLimit(limit), newestFirst)
	if err != nil {
		return err
	}
	data := []json.RawMessage{}
	for _, pub := range result.Publications {
		data = append(data, pub.Data)
	}
	show("history", fields{"channel": channel, "offset": result.Offset, "data": data})
	return nil
}

func (p *program) run(c command) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	switch c.Op {
	case "publish":
		return p.publish(ctx, c.Channel, c.Data)
	case "subscribe":
		return p.subscribe(c.Channel)
	case "unsubscribe":
		return p.unsubscribe(c.Channel)
	case "presence":
		return p.presence(ctx, c.Channel)
	case "history":
		return p.history(ctx, c.Channel, c.Limit)
	case "token":
		p.tokens <- c.Token
		return nil
	case "disconnect":
		return p.client.Disconnect()
	default:
		return errors.New("no such command")
	}
}

// listed collects the values of an argument that may be given several times.
type listed []string

func (l *listed) String() string { return strings.Join(*l, ",") }

func (l *listed) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func main() {
	var channels listed
	url := flag.String("url", "", "")
	token := flag.String("token", "", "")
	encoding := flag.String("encoding", "json", "")
	delta := flag.Bool("delta", false, "")
	refresh := flag.Bool("refresh", false, "")
	flag.Var(&channels, "channel", "")
	flag.Parse()

	p := &program{tokens: make(chan string, 1)}
	config := centrifuge.Config{Token: *token, MinReconnectDelay: 50 * time.Millisecond}
	if *refresh {
		config.GetToken = p.getToken
	}
	if *delta {
		p.delta = centrifuge.DeltaTypeFossil
	}
	if *encoding == "protobuf" {
		p.client = centrifuge.NewProtobufClient(*url, config)
	} else {
		p.client = centrifuge.NewJsonClient(*url, config)
	}
	p.watch()
	for _, channel := range channels {
		if err := p.subscribe(channel); err != nil {
			log.Fatal(err)
		}
	}
	// It waits for the token, which a command brings.
	go func() {
		if err := p.client.Connect(); err != nil {
			showError("connect", err, "")
		}
	}()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineBytesMax)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			log.Fatal(err)
		}
		if err := p.run(c); err != nil {
			showError(c.Op, err, c.Channel)
		}
	}
}
