/** AWS IoT Core's limits on a connection ("AWS IoT Core message broker and protocol limits and quotas"). */
export const brokerLimits = {
  maxClientIdBytes: 128,
  maxTopicBytes: 256,
  maxSlashes: 7,
  maxFiltersPerSubscribe: 8,
  maxSubscriptions: 50,
  maxPayloadBytes: 131_072,
  /** What CONNACK says: the payload and what may stand around it. */
  maxPacketBytes: 149_504,
  minKeepAliveSeconds: 30,
  maxKeepAliveSeconds: 1200,
  maxSessionExpirySeconds: 3600,
  maxTopicAliases: 8,
  maxInFlight: 100,
  connectsPerSecondAndClientId: 1,
} as const

/** A topic that a message may have: without wildcards, not too long, not too deep. */
export function isTopicName(topic: string): boolean {
  return !/[+#]/.test(topic) && fits(topic)
}

/** A topic filter as MQTT writes it (MQTT 5, section 4.7.1), within AWS's limits. */
export function isTopicFilter(filter: string): boolean {
  const levels = filter.split('/')
  const wellFormed = levels.every((level, index) => {
    if (level === '+') return true
    if (level === '#') return index === levels.length - 1
    return !/[+#]/.test(level)
  })
  return wellFormed && fits(filter)
}

function fits(topic: string): boolean {
  const { maxTopicBytes, maxSlashes } = brokerLimits
  const bytes = Buffer.byteLength(topic)
  return bytes > 0 && bytes <= maxTopicBytes && !topic.includes('\0') && topic.split('/').length - 1 <= maxSlashes
}
