// Numbers, times and names as the page writes them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** `10,234`. */
export const count = (value) => whole.format(value);
/** `10.2K`. */
export const compact = (value) => (value < 10_000 ? whole.format(value) : short.format(value));
/** `14:05`, in the reader's time zone. */
export const hour = (seconds) => clock.format(seconds * 1000);
/** `14:05:09`. */
export const time = (seconds) => exact.format(seconds * 1000);
/** `25 Nov 2026, 14:05:09`. */
export const moment = (seconds) => day.format(seconds * 1000);

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `1.5 GiB`, as larderctl writes it. */
export function bytes(value) {
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${Math.round(value)} B` : `${value.toFixed(1)} ${units[unit]}`;
}

/** The same without decimals that say nothing: `2 GiB`. */
export const round = (value) => bytes(value).replace(".0", "");

/** `1.5 MiB/s`. */
export const rate = (value) => `${bytes(value)}/s`;

/** `72 %`; finer below ten. */
export function percent(part) {
  const value = 100 * part;
  return `${value !== 0 && value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** `1.49x`, as larderctl writes it; a dash for nothing. */
export const ratio = (raw, stored) => (stored === 0 ? "–" : `${(raw / stored).toFixed(2)}x`);

/** Nanoseconds as `85 µs`. */
export function latency(nanoseconds) {
  if (nanoseconds < 1e3) return `${Math.round(nanoseconds)} ns`;
  if (nanoseconds < 1e6) return `${digits(nanoseconds / 1e3)} µs`;
  if (nanoseconds < 1e9) return `${digits(nanoseconds / 1e6)} ms`;
  return `${digits(nanoseconds / 1e9)} s`;
}

const digits = (value) => (value < 10 ? value.toFixed(1).replace(".0", "") : whole.format(value));

/** Seconds as `2 h 10 min`, `7 d`. */
export function duration(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (minutes % (24 * 60) === 0) return `${count(hours / 24)} d`;
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${count(Math.floor(hours / 24))} d ${hours % 24} h`;
}

/** How long ago a moment was. */
export function age(seconds, now = Date.now() / 1000) {
  if (seconds === 0) return "never";
  return now - seconds < 2 ? "now" : `${duration(now - seconds)} ago`;
}

/** A limit in seconds, where 0 is one of the namespace and the largest is none. */
export function timeToLive(seconds) {
  if (seconds === 0) return "as its namespace";
  return seconds === 0xffff_ffff ? "never expires" : duration(seconds);
}

/**
 * A name of the store's, which may be any text: what does not show, or turns other text around, is written as its
 * number.
 */
export function name(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);
}

/** The beginning of a text that is too long for a drawing. */
export const clipped = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
