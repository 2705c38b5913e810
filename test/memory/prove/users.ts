/** Each process of a run is another user of the nodes, so that one of them can be forbidden something. */

export function userAt(place: number): string {
  return `user-${place}`;
}

/** Arguments of a server that knows so many users, who may do everything. */
export function userArguments(count: number): string[] {
  return Array.from({ length: count }, (_, place) => {
    return ['--user', userAt(place), 'on', 'nopass', '~*', '&*', '+@all'];
  }).flat();
}
