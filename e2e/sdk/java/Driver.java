import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.centrifugal.centrifuge.Client;
import io.github.centrifugal.centrifuge.ConnectedEvent;
import io.github.centrifugal.centrifuge.ConnectingEvent;
import io.github.centrifugal.centrifuge.ConnectionTokenEvent;
import io.github.centrifugal.centrifuge.ConnectionTokenGetter;
import io.github.centrifugal.centrifuge.DisconnectedEvent;
import io.github.centrifugal.centrifuge.DuplicateSubscriptionException;
import io.github.centrifugal.centrifuge.ErrorEvent;
import io.github.centrifugal.centrifuge.EventListener;
import io.github.centrifugal.centrifuge.HistoryOptions;
import io.github.centrifugal.centrifuge.Options;
import io.github.centrifugal.centrifuge.PublicationEvent;
import io.github.centrifugal.centrifuge.ReplyError;
import io.github.centrifugal.centrifuge.ResultCallback;
import io.github.centrifugal.centrifuge.ServerPublicationEvent;
import io.github.centrifugal.centrifuge.ServerSubscribedEvent;
import io.github.centrifugal.centrifuge.ServerUnsubscribedEvent;
import io.github.centrifugal.centrifuge.SubscribedEvent;
import io.github.centrifugal.centrifuge.SubscribingEvent;
import io.github.centrifugal.centrifuge.Subscription;
import io.github.centrifugal.centrifuge.SubscriptionErrorEvent;
import io.github.centrifugal.centrifuge.SubscriptionEventListener;
import io.github.centrifugal.centrifuge.TokenCallback;
import io.github.centrifugal.centrifuge.UnsubscribedEvent;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Consumer;

/** The Java SDK as a program: events on standard output, commands on standard input (see ../README.md). */
final class Driver {
  // Not System.out: its character set is that of the environment.
  private static final PrintStream OUTPUT = new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8);

  private final BlockingQueue<TokenCallback> wanted = new LinkedBlockingQueue<>();
  private final Client client;

  private Driver(String url, Options options, boolean refresh) {
    options.setMinReconnectDelay(50);
    if (refresh) {
      options.setTokenGetter(new Tokens());
    }
    client = new Client(url, options, new ClientEvents());
  }

  /** A line of output that is being made. */
  private record Line(JsonObject fields) {
    static Line of(String event) {
      return new Line(new JsonObject()).with("event", event);
    }

    Line with(String name, String value) {
      fields.addProperty(name, value);
      return this;
    }

    Line with(String name, Number value) {
      fields.addProperty(name, value);
      return this;
    }

    Line with(String name, Boolean value) {
      fields.addProperty(name, value);
      return this;
    }

    Line with(String name, JsonElement value) {
      fields.add(name, value);
      return this;
    }

    void show() {
      OUTPUT.println(fields);
    }
  }

  private static void showError(String op, Throwable error, String channel) {
    int code = error instanceof ReplyError reply ? reply.getCode() : 0;
    Line.of("error").with("op", op).with("channel", channel).with("code", code).with("message", error.toString()).show();
  }

  private static JsonElement decode(byte[] data) {
    return JsonParser.parseString(new String(data, UTF_8));
  }

  /** The SDK asks for a new token; the command {@code token} answers. */
  private final class Tokens extends ConnectionTokenGetter {
    @Override
    public void getConnectionToken(ConnectionTokenEvent event, TokenCallback callback) {
      wanted.add(callback);
      Line.of("token_wanted").show();
    }
  }

  /** The connection, and the subscriptions that the server made. */
  private static final class ClientEvents extends EventListener {
    @Override
    public void onConnecting(Client client, ConnectingEvent event) {
      Line.of("connecting").with("code", event.getCode()).with("reason", event.getReason()).show();
    }

    @Override
    public void onConnected(Client client, ConnectedEvent event) {
      Line.of("connected").with("client", event.getClient()).show();
    }

    @Override
    public void onDisconnected(Client client, DisconnectedEvent event) {
      Line.of("disconnected").with("code", event.getCode()).with("reason", event.getReason()).show();
    }

    @Override
    public void onError(Client client, ErrorEvent event) {
      showError("connect", event.getError(), null);
    }

    @Override
    public void onSubscribed(Client client, ServerSubscribedEvent event) {
      Line.of("subscribed").with("channel", event.getChannel()).with("recovered", event.getRecovered())
          .with("was_recovering", event.wasRecovering()).with("server_side", true).show();
    }

    @Override
    public void onUnsubscribed(Client client, ServerUnsubscribedEvent event) {
      Line.of("unsubscribed").with("channel", event.getChannel()).with("server_side", true).show();
    }

    @Override
    public void onPublication(Client client, ServerPublicationEvent event) {
      Line.of("publication").with("channel", event.getChannel()).with("data", decode(event.getData()))
          .with("offset", event.getOffset()).with("server_side", true).show();
    }
  }

  private static final class SubscriptionEvents extends SubscriptionEventListener {
    @Override
    public void onSubscribing(Subscription subscription, SubscribingEvent event) {
      Line.of("subscribing").with("channel", subscription.getChannel()).with("code", event.getCode())
          .with("reason", event.getReason()).show();
    }

    @Override
    public void onSubscribed(Subscription subscription, SubscribedEvent event) {
      Line.of("subscribed").with("channel", subscription.getChannel()).with("recovered", event.getRecovered())
          .with("was_recovering", event.wasRecovering()).show();
    }

    @Override
    public void onUnsubscribed(Subscription subscription, UnsubscribedEvent event) {
      Line.of("unsubscribed").with("channel", subscription.getChannel()).with("code", event.getCode())
          .with("reason", event.getReason()).show();
    }

    @Override
    public void onError(Subscription subscription, SubscriptionErrorEvent event) {
      showError("subscribe", event.getError(), subscription.getChannel());
    }

    @Override
    public void onPublication(Subscription subscription, PublicationEvent event) {
      Line.of("publication").with("channel", subscription.getChannel()).with("data", decode(event.getData()))
          .with("offset", event.getOffset()).show();
    }
  }

  /** What to do with the answer to a command; a failure is shown. */
  private static <T> ResultCallback<T> answer(String op, String channel, Consumer<T> consumer) {
    return (error, result) -> {
      if (error == null) {
        consumer.accept(result);
      } else {
        showError(op, error, channel);
      }
    };
  }

  private void subscribe(String channel) throws DuplicateSubscriptionException {
    client.newSubscription(channel, new SubscriptionEvents()).subscribe();
  }

  private void publish(String channel, JsonElement data) {
    client.publish(channel, data.toString().getBytes(UTF_8), answer("publish", channel, result ->
        Line.of("published").with("channel", channel).with("data", data).show()));
  }

  private void presence(String channel) {
    client.presence(channel, answer("presence", channel, result ->
        client.presenceStats(channel, answer("presence", channel, stats -> {
          var users = new JsonArray();
          result.getClients().values().stream().map(info -> info.getUser()).sorted().forEach(users::add);
          var data = new JsonObject();
          data.add("users", users);
          data.addProperty("clients", stats.getNumClients());
          data.addProperty("distinct", stats.getNumUsers());
          Line.of("presence").with("channel", channel).with("data", data).show();
        }))));
  }

  private void history(String channel, int limit) {
    var newestFirst = new HistoryOptions.Builder().withLimit(limit).withReverse(true).build();
    client.history(channel, newestFirst, answer("history", channel, result -> {
      var data = new JsonArray();
      result.getPublications().forEach(publication -> data.add(decode(publication.getData())));
      Line.of("history").with("channel", channel).with("offset", result.getOffset()).with("data", data).show();
    }));
  }

  private void run(JsonObject command) throws Exception {
    var op = command.get("op").getAsString();
    var channel = command.has("channel") ? command.get("channel").getAsString() : null;
    switch (op) {
      case "publish" -> publish(channel, command.get("data"));
      case "subscribe" -> subscribe(channel);
      case "unsubscribe" -> client.getSubscription(channel).unsubscribe();
      case "presence" -> presence(channel);
      case "history" -> history(channel, command.get("limit").getAsInt());
      case "token" -> wanted.take().Done(null, command.get("token").getAsString());
      case "disconnect" -> client.disconnect();
      default -> throw new IllegalArgumentException("no command " + op);
    }
  }

  public static void main(String[] arguments) throws Exception {
    var url = "";
    var options = new Options();
    var refresh = false;
    List<String> channels = new ArrayList<>();
    for (Iterator<String> rest = Arrays.asList(arguments).iterator(); rest.hasNext(); ) {
      var argument = rest.next();
      switch (argument) {
        case "--url" -> url = rest.next();
        case "--token" -> options.setToken(rest.next());
        case "--channel" -> channels.add(rest.next());
        case "--refresh" -> refresh = true;
        case "--encoding" -> {
          // The SDK has no other.
          if (!rest.next().equals("protobuf")) throw new IllegalArgumentException("only protobuf");
        }
        default -> throw new IllegalArgumentException("no argument " + argument);
      }
    }
    var driver = new Driver(url, options, refresh);
    for (var channel : channels) {
      driver.subscribe(channel);
    }
    driver.client.connect();
    var lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
    for (var line = lines.readLine(); line != null; line = lines.readLine()) {
      driver.run(JsonParser.parseString(line).getAsJsonObject());
    }
    System.exit(0);
  }
}
