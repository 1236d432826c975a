const thing = String.raw`\$aws/things/[^/+#]+`
const request = [
  `${thing}/jobs/(get|start-next)`,
  `${thing}/jobs/[^/+#]+/(get|update)`,
  `${thing}/shadow/name/[^/+#]+/(get|update|delete)`,
  String.raw`\$aws/certificates/create-from-csr/json`,
  String.raw`\$aws/provisioning-templates/[^/+#]+/provision/json`,
]
const requestTopic = new RegExp(`^(${request.join('|')})$`)

const anyThing = String.raw`\$aws/things/[^/#]+`
const subscribable = [
  // Wildcards stand for whole levels, so that a filter reaches nothing but answers and notifications.
  `${anyThing}/jobs/(notify|notify-next)`,
  `${anyThing}/jobs/(get|start-next)/(accepted|rejected|[+#])`,
  `${anyThing}/jobs/[^/#]+/(get|update)/(accepted|rejected|[+#])`,
  `${anyThing}/jobs/#`,
  `${anyThing}/shadow/name/[^/#]+/(get|update|delete)/(accepted|rejected|[+#])`,
  `${anyThing}/shadow/name/[^/#]+/update/(delta|documents)`,
  `${anyThing}/shadow/name/[^/#]+/#`,
  String.raw`\$aws/certificates/create-from-csr/json/(accepted|rejected|[+#])`,
  String.raw`\$aws/provisioning-templates/[^/+#]+/provision/json/(accepted|rejected|[+#])`,
]
const subscribableFilter = new RegExp(`^(${subscribable.join('|')})$`)

/** Topics that AWS IoT keeps for itself ("Reserved topics"). */
export function isReserved(topicOrFilter: string): boolean {
  return topicOrFilter.startsWith('$')
}

/** A reserved topic that asks a service of the local cloud for something: jobs, named shadows and fleet provisioning, in JSON. */
export function isRequestTopic(topic: string): boolean {
  return requestTopic.test(topic)
}

/** A filter on what those services answer and announce. */
export function isSubscribableReserved(filter: string): boolean {
  return subscribableFilter.test(filter)
}
