import Foundation

/// Points in time as people write and read them, in the local time zone.
enum Moment {
    /// Seconds since 1970 of `24h` (ago), `2026-11-01` or `2026-11-01T08:00`; nil for anything else.
    static func seconds(_ text: String, now: UInt64) -> UInt64? {
        let units: [Character: UInt64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800]
        if let unit = text.last.flatMap({ units[$0] }), let count = UInt64(text.dropLast()) {
            let (ago, overflow) = count.multipliedReportingOverflow(by: unit)
            return overflow || ago > now ? 0 : now - ago
        }
        for format in ["yyyy-MM-dd", "yyyy-MM-dd'T'HH:mm", "yyyy-MM-dd HH:mm"] {
            let formatter = formatter(format)
            if let date = formatter.date(from: text), formatter.string(from: date) == text {
                return date.timeIntervalSince1970 < 0 ? nil : UInt64(date.timeIntervalSince1970)
            }
        }
        return nil
    }

    /// `2026-11-01 08:00 UTC`.
    static func text(_ seconds: UInt64) -> String {
        formatter("yyyy-MM-dd HH:mm zzz").string(from: Date(timeIntervalSince1970: TimeInterval(seconds)))
    }

    /// `2026-11-01 08:00:00.250`, of milliseconds since 1970.
    static func clock(_ milliseconds: UInt64) -> String {
        formatter("yyyy-MM-dd HH:mm:ss.SSS").string(from: Date(timeIntervalSince1970: Double(milliseconds) / 1e3))
    }

    private static func formatter(_ format: String) -> DateFormatter {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = format
        return formatter
    }
}

extension Format {
    /// A count as people say it: 9512, 48.3 k, 1.2 M, 3.4 bn.
    static func tokens(_ count: UInt64) -> String {
        switch count {
        case 0..<10_000: "\(count)"
        case 10_000..<999_950: String(format: "%.1f k", Double(count) / 1e3)
        case 999_950..<999_950_000: String(format: "%.1f M", Double(count) / 1e6)
        default: String(format: "%.1f bn", Double(count) / 1e9)
        }
    }

    /// A time: 840 ms, 12.3 s, 5 min 9 s, 3 h 12 min, 4 d 2 h.
    static func duration(_ seconds: Double) -> String {
        if seconds < 1 { return seconds == 0 ? "0 s" : String(format: "%.0f ms", seconds * 1e3) }
        if seconds < 60 { return String(format: "%.1f s", seconds) }
        let whole = UInt64(min(seconds.rounded(), 1e18))
        switch whole {
        case 0..<3_600: return "\(whole / 60) min \(whole % 60) s"
        case 3_600..<172_800: return "\(whole / 3_600) h \(whole % 3_600 / 60) min"
        default: return "\(whole / 86_400) d \(whole % 86_400 / 3_600) h"
        }
    }

    /// An amount of money with two decimals, or as many as it takes to see two digits of it, six at most.
    static func money(_ amount: Double) -> String {
        var decimals = 2
        var least = 0.1
        while amount > 0, amount < least, decimals < 6 {
            decimals += 1
            least /= 10
        }
        return String(format: "%.\(decimals)f", amount)
    }
}
