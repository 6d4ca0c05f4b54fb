/** Python's `strftime` for the fields that chat templates use. */
import { GiantError } from "../base/errors.ts";

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** Formats the local time of `date` in the C locale; `%-d` and the like leave out the leading zero. */
export function formatTime(date: Date, format: string): string {
  return format.replaceAll(/%(-?)(.)/gs, (directive: string, dash: string, letter: string) => {
    const number = (value: number, width: number): string => (dash ? String(value) : String(value).padStart(width, "0"));
    const hour = date.getHours();
    const month = MONTHS[date.getMonth()]!;
    const weekday = WEEKDAYS[date.getDay()]!;
    switch (letter) {
      case "Y":
        return String(date.getFullYear());
      case "y":
        return number(date.getFullYear() % 100, 2);
      case "m":
        return number(date.getMonth() + 1, 2);
      case "d":
        return number(date.getDate(), 2);
      case "B":
        return month;
      case "b":
        return month.slice(0, 3);
      case "A":
        return weekday;
      case "a":
        return weekday.slice(0, 3);
      case "H":
        return number(hour, 2);
      case "I":
        return number(hour % 12 || 12, 2);
      case "p":
        return hour < 12 ? "AM" : "PM";
      case "M":
        return number(date.getMinutes(), 2);
      case "S":
        return number(date.getSeconds(), 2);
      case "%":
        return "%";
      default:
        throw new GiantError("tokenizer", `strftime_now: the directive ${directive} in ${JSON.stringify(format)} is not supported`, {
          hint: "Supported: %Y %y %m %d %B %b %A %a %H %I %p %M %S %%.",
        });
    }
  });
}
