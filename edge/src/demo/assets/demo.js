"use strict";

// A chat over one channel. Everything that came from somebody else is put on
// the page as text, never as markup.
(() => {
  const CHANNEL = "chat:lobby";
  const MESSAGES_MAX = 200;
  const TRIPS_MAX = 40;

  const byId = (id) => document.getElementById(id);
  const address = (path) => new URL(path, document.baseURI);

  const state = byId("state");
  const list = byId("messages");
  const input = byId("message");
  const send = byId("send");
  const problem = byId("error");

  const counts = { received: 0, sent: 0 };
  const trips = [];
  // Id of each message on its way, and when it was sent.
  const underway = new Map();
  let clientId = "";
  let lastAuthor = null;
  // Whether the reader is at the newest message, and so is kept there.
  let followsEnd = true;

  function showState(name, text) {
    state.dataset.state = name;
    state.textContent = text;
  }

  function showProblem(text) {
    problem.textContent = text;
    problem.hidden = text === "";
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  }

  function hue(name) {
    let hash = 0;
    for (const character of name) {
      hash = (hash * 31 + character.codePointAt(0)) >>> 0;
    }
    return hash % 8;
  }

  function newId() {
    const words = crypto.getRandomValues(new Uint32Array(2));
    return Array.from(words, (word) => word.toString(36)).join("-");
  }

  function textOf(data) {
    if (data !== null && typeof data === "object" && typeof data.text === "string") {
      return data.text;
    }
    return typeof data === "string" ? data : JSON.stringify(data);
  }

  function showMessage(author, text, kind) {
    const now = new Date();
    const item = element("li", `message hue-${hue(author)}`, "");
    if (kind !== "") {
      item.classList.add(kind);
    }
    if (lastAuthor === kind + author) {
      item.classList.add("follow");
    }
    lastAuthor = kind + author;

    const avatar = element("span", "avatar", Array.from(author)[0] ?? "?");
    avatar.setAttribute("aria-hidden", "true");
    const from = element("p", "from", "");
    const time = element("time", "", now.toLocaleTimeString());
    time.dateTime = now.toISOString();
    from.append(element("span", "author", author), time);
    item.append(avatar, from, element("p", "text", text));

    list.append(item);
    while (list.children.length > MESSAGES_MAX) {
      list.firstElementChild.remove();
    }
    followsEnd ||= kind === "own";
    scrollToEnd();
    byId("empty").hidden = true;
  }

  function scrollToEnd() {
    if (followsEnd) {
      list.scrollTop = list.scrollHeight;
    }
  }

  function milliseconds(value) {
    return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
  }

  function showTrip(duration) {
    trips.push(duration);
    if (trips.length > TRIPS_MAX) {
      trips.shift();
    }
    const sorted = [...trips].sort((a, b) => a - b);
    byId("latency").textContent = milliseconds(duration);
    byId("median").textContent = milliseconds(sorted[Math.floor(sorted.length / 2)]);
    const top = Math.max(sorted[sorted.length - 1], 1);
    const step = 240 / Math.max(trips.length - 1, 1);
    byId("trace").setAttribute(
      "points",
      trips.map((trip, i) => `${(i * step).toFixed(1)},${(45 - (trip / top) * 40).toFixed(1)}`).join(" "),
    );
  }

  function onPublication(context) {
    counts.received += 1;
    byId("received").textContent = counts.received;
    const { data, info } = context;
    const text = textOf(data);
    if (info === undefined || info === null) {
      showMessage("Server API", text, "api");
      return;
    }
    const id = data === null || typeof data !== "object" ? undefined : data.id;
    const sentAt = info.client === clientId ? underway.get(id) : undefined;
    if (sentAt !== undefined) {
      underway.delete(id);
      showTrip(performance.now() - sentAt);
    }
    showMessage(info.user || "anonymous", text, info.client === clientId ? "own" : "");
  }

  async function fetchToken(name) {
    const url = address("demo/token");
    url.searchParams.set("user", name);
    const response = await fetch(url, { cache: "no-store" });
    if (!response.ok) {
      throw new Error(`The server gave no token (HTTP ${response.status}).`);
    }
    return (await response.json()).token;
  }

  function connect(name, token) {
    const url = address("connection/websocket");
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const centrifuge = new Centrifuge(url.href, { token, getToken: () => fetchToken(name) });
    centrifuge.on("connecting", () => showState("connecting", "Connecting…"));
    centrifuge.on("connected", (context) => {
      clientId = context.client;
      underway.clear();
      showState("connected", "Connected");
    });
    centrifuge.on("disconnected", (context) => {
      showState("disconnected", "Disconnected");
      showProblem(`Disconnected: ${context.reason} (${context.code}). Reload the page to try again.`);
    });

    const lobby = centrifuge.newSubscription(CHANNEL);
    lobby.on("publication", onPublication);
    lobby.on("subscribed", () => {
      send.disabled = false;
      showProblem("");
    });
    lobby.on("subscribing", () => {
      send.disabled = true;
    });
    lobby.on("unsubscribed", (context) => {
      send.disabled = true;
      showProblem(`Not subscribed: ${context.reason} (${context.code}).`);
    });
    lobby.subscribe();
    centrifuge.connect();
    return lobby;
  }

  async function publish(lobby, text) {
    const id = newId();
    underway.set(id, performance.now());
    try {
      await lobby.publish({ id, text });
      counts.sent += 1;
      byId("sent").textContent = counts.sent;
      showProblem("");
    } catch (error) {
      underway.delete(id);
      if (input.value === "") {
        input.value = text;
      }
      showProblem(`Not sent: ${error.message} (${error.code}).`);
    }
  }

  function enter(name, token) {
    const lobby = connect(name, token);
    document.title = `${name} · Tidewire demo`;
    byId("join-form").hidden = true;
    byId("talk").hidden = false;
    input.placeholder = `Write a message as ${name}`;
    input.focus();
    byId("message-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (text !== "" && !send.disabled) {
        input.value = "";
        publish(lobby, text);
      }
      input.focus();
    });
  }

  byId("join-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = byId("name").value.trim();
    if (name === "") {
      return;
    }
    byId("join").disabled = true;
    showProblem("");
    try {
      enter(name, await fetchToken(name));
    } catch (error) {
      byId("join").disabled = false;
      showProblem(error.message);
    }
  });

  list.addEventListener("scroll", () => {
    followsEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  }, { passive: true });
  new ResizeObserver(scrollToEnd).observe(list);

  byId("curl").textContent = [
    `curl ${address("api/publish").href} \\`,
    `  -H "X-API-Key: $API_KEY" \\`,
    `  -d '{"channel": "${CHANNEL}",`,
    `       "data": {"text": "Hello"}}'`,
  ].join("\n");

  byId("copy").addEventListener("click", async () => {
    const code = byId("curl");
    try {
      await navigator.clipboard.writeText(code.textContent);
      byId("copy").textContent = "Copied";
      setTimeout(() => {
        byId("copy").textContent = "Copy";
      }, 1500);
    } catch {
      // Browsers without a clipboard here: leave the command selected.
      getSelection().selectAllChildren(code);
    }
  });
})();
