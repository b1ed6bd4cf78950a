// The legacy payment gateway: Java's own HTTP server on loopback, and nothing that knows of a mesh.
//
//   POST /pay     {"order": "...", "cents": 1200, "what": "..."}
//                 -> {"receipt": "P-000042", "order": "...", "instance": "P"}
//   GET  /health
//
// The same order sent twice gives the same receipt and no second charge, so a caller that was cut off may ask again.
// Run: java Payment.java --listen 127.0.0.1:9090

import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

public final class Payment {
  static final int MOST_CENTS = 10_000_000;
  static final int LARGEST_BODY = 64 << 10;

  /** An answer that is an error: the status, words for people and a code for programs. */
  static final class Refused extends Exception {
    final int status;
    final String code;

    Refused(int status, String words, String code) {
      super(words);
      this.status = status;
      this.code = code;
    }
  }

  record Purchase(String receipt, String order, long cents, String instance, String what) {
    String line() {
      return String.join("\t", receipt, order, Long.toString(cents), instance, what);
    }

    /** Null for what is no whole purchase, as the torn line of a gateway that was killed. */
    static Purchase parsed(String line) {
      String[] parts = line.split("\t", -1);
      if (parts.length != 5 || !parts[2].matches("\\d{1,9}")) return null;
      return new Purchase(parts[0], parts[1], Long.parseLong(parts[2]), parts[3], parts[4]);
    }
  }

  /** What was paid, in memory, or in a file that several instances share; ledger.py, for Python, keeps the same one. */
  static final class Ledger {
    private final Map<String, Purchase> byOrder = new HashMap<>();
    private final String instance;
    private final FileChannel file; // null: memory alone
    private long seen = 0; // bytes of the file that are in byOrder
    private boolean torn = false;

    Ledger(String path, String instance) throws IOException {
      this.instance = instance;
      this.file = path == null ? null : FileChannel.open(Path.of(path), CREATE, READ, WRITE);
    }

    record Charged(Purchase purchase, boolean isNew) {}

    /** The same order is charged once, whoever asks, and whichever instance. */
    synchronized Charged charge(String order, long cents, String what) throws IOException {
      // The lock is of the process, so `synchronized` stands before it.
      FileLock lock = file == null ? null : file.lock();
      try {
        catchUp();
        Purchase known = byOrder.get(order);
        if (known != null) return new Charged(known, false);
        String receipt = String.format("%s-%06d", instance, byOrder.size() + 1);
        Purchase bought = new Purchase(receipt, order, cents, instance, what);
        write(bought);
        byOrder.put(order, bought);
        return new Charged(bought, true);
      } finally {
        if (lock != null) lock.release();
      }
    }

    /** Reads what other instances have written since. */
    private void catchUp() throws IOException {
      if (file == null) return;
      ByteBuffer rest = ByteBuffer.allocate((int) (file.size() - seen));
      while (rest.hasRemaining() && file.read(rest, seen + rest.position()) >= 0) {
        // until all of it is there
      }
      byte[] bytes = rest.array();
      int start = 0;
      for (int at = 0; at < rest.position(); at++) {
        if (bytes[at] != '\n') continue;
        Purchase one = Purchase.parsed(new String(bytes, start, at - start, StandardCharsets.UTF_8));
        if (one != null) byOrder.put(one.order(), one);
        start = at + 1;
      }
      seen += start;
      torn = start < rest.position();
    }

    private void write(Purchase bought) throws IOException {
      if (file == null) return;
      ByteBuffer line = ByteBuffer.wrap(((torn ? "\n" : "") + bought.line() + "\n").getBytes(StandardCharsets.UTF_8));
      long end = file.size();
      while (line.hasRemaining()) end += file.write(line, end);
    }
  }

  /** A JSON object of strings and whole numbers; other values are read over, and no field of ours is one of them. */
  static final class Json {
    private final String text;
    private int at = 0;

    private Json(String text) {
      this.text = text;
    }

    static Map<String, Object> object(String text) throws Refused {
      Json json = new Json(text);
      Object value = json.value(0);
      json.space();
      if (json.at < text.length()) throw json.wrong("something behind its end");
      if (!(value instanceof Map))
        throw new Refused(400, "the body is no JSON object, such as {\"order\": \"...\"}", "bad_request");
      @SuppressWarnings("unchecked")
      Map<String, Object> object = (Map<String, Object>) value;
      return object;
    }

    private Refused wrong(String what) {
      return new Refused(400, "the body is no JSON: " + what + " at character " + at, "bad_request");
    }

    private void space() {
      while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
    }

    private char next() throws Refused {
      space();
      if (at >= text.length()) throw wrong("it ends");
      return text.charAt(at);
    }

    private Object value(int depth) throws Refused {
      if (depth > 20) throw wrong("too deep");
      char first = next();
      if (first == '"') return string();
      if (first == '{') return object(depth);
      if (first == '[') {
        at++;
        if (next() == ']') return skip();
        while (true) {
          value(depth + 1);
          char after = next();
          at++;
          if (after == ']') return new Object();
          if (after != ',') throw wrong("no comma");
        }
      }
      int start = at;
      while (at < text.length() && "+-.0123456789abcdefghijklmnopqrstuvwxyzE".indexOf(text.charAt(at)) >= 0) at++;
      String word = text.substring(start, at);
      if (word.matches("-?(0|[1-9]\\d{0,17})")) return Long.parseLong(word);
      if (word.matches("true|false|null|-?(0|[1-9]\\d*)(\\.\\d+)?([eE][+-]?\\d+)?")) return new Object();
      throw wrong("no value");
    }

    private Object skip() {
      at++;
      return new Object();
    }

    private Map<String, Object> object(int depth) throws Refused {
      Map<String, Object> found = new HashMap<>();
      at++;
      if (next() == '}') {
        at++;
        return found;
      }
      while (true) {
        if (next() != '"') throw wrong("no name");
        String name = string();
        if (next() != ':') throw wrong("no colon");
        at++;
        found.put(name, value(depth + 1));
        char after = next();
        at++;
        if (after == '}') return found;
        if (after != ',') throw wrong("no comma");
      }
    }

    private String string() throws Refused {
      StringBuilder said = new StringBuilder();
      for (at++; at < text.length(); at++) {
        char letter = text.charAt(at);
        if (letter == '"') {
          at++;
          return said.toString();
        }
        if (letter < ' ') throw wrong("a control character");
        if (letter != '\\') {
          said.append(letter);
          continue;
        }
        if (++at >= text.length()) break;
        int which = "\"\\/bfnrt".indexOf(text.charAt(at));
        if (which >= 0) {
          said.append("\"\\/\b\f\n\r\t".charAt(which));
        } else if (text.startsWith("u", at) && at + 4 < text.length()
            && text.substring(at + 1, at + 5).matches("[0-9a-fA-F]{4}")) {
          said.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
          at += 4;
        } else {
          throw wrong("an unknown escape");
        }
      }
      throw wrong("a string without end");
    }
  }

  /** Text as a JSON string. */
  static String quoted(String text) {
    StringBuilder said = new StringBuilder("\"");
    for (char letter : text.toCharArray()) {
      if (letter == '"' || letter == '\\') said.append('\\').append(letter);
      else if (letter < ' ' || letter > '~') said.append(String.format("\\u%04x", (int) letter));
      else said.append(letter);
    }
    return said.append('"').toString();
  }

  /** What the point of sale would print, at once. Text from outside may not make a second line of it. */
  static void say(String who, String words) {
    StringBuilder line = new StringBuilder(who).append(": ");
    for (char letter : words.toCharArray()) line.append(Character.isISOControl(letter) ? '?' : letter);
    System.out.println(line);
  }

  private final Ledger ledger;
  private final String name;
  private final long takes;
  private final AtomicInteger underWay = new AtomicInteger();

  Payment(Ledger ledger, String name, long takes) {
    this.ledger = ledger;
    this.name = name;
    this.takes = takes;
  }

  private String pay(HttpExchange exchange) throws Refused, IOException, InterruptedException {
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    byte[] piece = new byte[8192];
    for (int got; (got = exchange.getRequestBody().read(piece)) >= 0; ) {
      body.write(piece, 0, got);
      if (body.size() > LARGEST_BODY) throw new Refused(413, "more than " + (LARGEST_BODY >> 10) + " kB", "too_large");
    }
    Map<String, Object> said = Json.object(body.toString(StandardCharsets.UTF_8));
    if (!(said.get("order") instanceof String order) || !order.matches("[A-Za-z0-9._-]{1,64}"))
      throw new Refused(400, "order: 1 to 64 letters, digits, dots, dashes and underscores", "bad_order");
    if (!(said.get("cents") instanceof Long cents) || cents < 1 || cents > MOST_CENTS)
      throw new Refused(400, "cents: a whole number from 1 to " + MOST_CENTS, "bad_cents");
    if (!(said.getOrDefault("what", "") instanceof String what) || what.codePointCount(0, what.length()) > 200)
      throw new Refused(400, "what: at most 200 letters", "bad_what");
    what = what.replaceAll("\\p{Cntrl}", "?");
    if (takes > 0) {
      say("pos", String.format("order %s under way", order));
      Thread.sleep(takes);
    }
    Ledger.Charged charged = ledger.charge(order, cents, what);
    Purchase bought = charged.purchase();
    if (charged.isNew())
      say("pos", String.format("receipt %s order %s %d.%02d EUR %s",
          bought.receipt(), order, cents / 100, cents % 100, what).stripTrailing());
    else
      say("pos", String.format("again receipt %s order %s, not charged twice", bought.receipt(), order));
    return String.format("{\"receipt\": %s, \"order\": %s, \"instance\": %s}",
        quoted(bought.receipt()), quoted(order), quoted(bought.instance()));
  }

  private void answer(HttpExchange exchange) throws IOException {
    underWay.incrementAndGet();
    try (exchange) {
      int status = 200;
      String answer;
      try {
        String path = exchange.getRequestURI().getPath();
        String method = exchange.getRequestMethod();
        if (path.equals("/pay")) {
          if (!method.equals("POST")) throw new Refused(405, "/pay takes POST", "method");
          answer = pay(exchange);
        } else if (path.equals("/health")) {
          if (!method.equals("GET")) throw new Refused(405, "/health takes GET", "method");
          answer = "{\"instance\": " + quoted(name) + "}";
        } else {
          throw new Refused(404, "there is nothing at " + path, "not_found");
        }
      } catch (Refused error) {
        status = error.status;
        answer = "{\"error\": " + quoted(error.getMessage()) + ", \"code\": " + quoted(error.code) + "}";
      } catch (InterruptedException error) {
        return;
      }
      byte[] bytes = (answer + "\n").getBytes(StandardCharsets.UTF_8);
      exchange.getResponseHeaders().set("Content-Type", "application/json");
      exchange.sendResponseHeaders(status, bytes.length);
      exchange.getResponseBody().write(bytes);
    } finally {
      underWay.decrementAndGet();
    }
  }

  static void usage(String words) {
    System.err.println("payment: " + words);
    System.err.println("usage: java Payment.java --listen 127.0.0.1:PORT [--name P] [--ledger FILE] [--takes-ms 0]");
    System.exit(2);
  }

  public static void main(String[] arguments) throws IOException {
    String listen = null, name = "P", ledger = null, takes = "0";
    for (int at = 0; at < arguments.length; at += 2) {
      String value = at + 1 < arguments.length ? arguments[at + 1] : null;
      if (value == null) usage(arguments[at] + ": a value is missing, or no such option");
      switch (arguments[at]) {
        case "--listen" -> listen = value;
        case "--name" -> name = value;
        case "--ledger" -> ledger = value;
        case "--takes-ms" -> takes = value;
        default -> usage(arguments[at] + ": no such option");
      }
    }
    if (listen == null || !listen.matches("127\\.0\\.0\\.1:\\d{1,5}"))
      usage("--listen " + listen + ": it listens on 127.0.0.1:PORT alone; others reach it through its sidecar");
    if (!takes.matches("\\d{1,6}")) usage("--takes-ms " + takes + ": no whole number of milliseconds");
    if (!name.matches("[A-Za-z0-9-]{1,20}")) usage("--name " + name + ": 1 to 20 letters, digits and dashes");
    System.setProperty("sun.net.httpserver.nodelay", "true"); // else an answer may wait 40 ms for the caller's ACK

    Payment payment = new Payment(new Ledger(ledger, name), name, Long.parseLong(takes));
    int port = Integer.parseInt(listen.substring(listen.indexOf(':') + 1));
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), port), 128);
    server.setExecutor(Executors.newCachedThreadPool());
    server.createContext("/", payment::answer);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      // Purchases under way are finished, for two seconds at most.
      for (int tries = 0; payment.underWay.get() > 0 && tries < 200; tries++) {
        try {
          Thread.sleep(10);
        } catch (InterruptedException error) {
          break;
        }
      }
      say("payment", "ends");
      System.out.flush();
      Runtime.getRuntime().halt(0);
    }));
    server.start();
    say("payment", "listening on 127.0.0.1:" + server.getAddress().getPort());
  }
}
